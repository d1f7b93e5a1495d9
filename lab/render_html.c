#include "lab/render.h"
void lab_render_html(struct json_object *root, FILE *to) { (void)root; (void)to; }
