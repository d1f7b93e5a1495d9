#include "lab/render.h"
void lab_render_drawing(struct json_object *drawing, FILE *to) { (void)drawing; (void)to; }
