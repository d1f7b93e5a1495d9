/*
 * native_table.c - SIMD instructions: which exist, what their memory operand is, which registers are general ones.
 *
 * Interface: native_internal.h. The table is a white list: whatever has no row gives #UD and is never run. Forms
 * that a row lets through and the architecture does not have are refused by the host itself (SIGILL gives #UD).
 */
#include "cpu/native_internal.h"

#define NP 0
#define P66 0x66
#define PF3 0xf3
#define PF2 0xf2
#define IMM N_IMM
#define ST N_STORE

static const struct native_row rows_0f[] = {
    {MAP_0F, 0x10, 0x10, NP, N_VEC, F_SSE, N_LVE | N_ANY},
    {MAP_0F, 0x11, 0x11, NP, N_VEC, F_SSE, N_LVE | N_ANY | ST},
    {MAP_0F, 0x10, 0x10, P66, N_VEC, F_SSE2, N_LVE | N_ANY},
    {MAP_0F, 0x11, 0x11, P66, N_VEC, F_SSE2, N_LVE | N_ANY | ST},
    {MAP_0F, 0x10, 0x10, PF3, N_4, F_SSE, N_LVE},
    {MAP_0F, 0x11, 0x11, PF3, N_4, F_SSE, N_LVE | ST},
    {MAP_0F, 0x10, 0x10, PF2, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x11, 0x11, PF2, N_8, F_SSE2, N_LVE | ST},
    {MAP_0F, 0x12, 0x12, NP, N_8, F_SSE, N_LVE},
    {MAP_0F, 0x13, 0x13, NP, N_8, F_SSE, N_LVE | ST},
    {MAP_0F, 0x12, 0x12, P66, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x13, 0x13, P66, N_8, F_SSE2, N_LVE | ST},
    {MAP_0F, 0x12, 0x12, PF3, N_VEC, F_SSE3, N_LVE},
    {MAP_0F, 0x12, 0x12, PF2, N_DUP, F_SSE3, N_LVE},
    {MAP_0F, 0x14, 0x15, NP, N_VEC, F_SSE, N_LVE},
    {MAP_0F, 0x14, 0x15, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x16, 0x16, NP, N_8, F_SSE, N_LVE},
    {MAP_0F, 0x17, 0x17, NP, N_8, F_SSE, N_LVE | ST},
    {MAP_0F, 0x16, 0x16, P66, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x17, 0x17, P66, N_8, F_SSE2, N_LVE | ST},
    {MAP_0F, 0x16, 0x16, PF3, N_VEC, F_SSE3, N_LVE},
    {MAP_0F, 0x28, 0x28, NP, N_VEC, F_SSE, N_LVE | N_ALIGNED},
    {MAP_0F, 0x29, 0x29, NP, N_VEC, F_SSE, N_LVE | N_ALIGNED | ST},
    {MAP_0F, 0x28, 0x28, P66, N_VEC, F_SSE2, N_LVE | N_ALIGNED},
    {MAP_0F, 0x29, 0x29, P66, N_VEC, F_SSE2, N_LVE | N_ALIGNED | ST},
    {MAP_0F, 0x2a, 0x2a, NP, N_8, F_SSE, N_L | N_MMX},
    {MAP_0F, 0x2a, 0x2a, P66, N_8, F_SSE2, N_L | N_MMX},
    {MAP_0F, 0x2a, 0x2a, PF3, N_W, F_SSE, N_LVE | N_GRM},
    {MAP_0F, 0x2a, 0x2a, PF2, N_W, F_SSE2, N_LVE | N_GRM},
    {MAP_0F, 0x2b, 0x2b, NP, N_VEC, F_SSE, N_LVE | N_ALIGNED | ST},
    {MAP_0F, 0x2b, 0x2b, P66, N_VEC, F_SSE2, N_LVE | N_ALIGNED | ST},
    {MAP_0F, 0x2c, 0x2d, NP, N_8, F_SSE, N_L | N_MMX},
    {MAP_0F, 0x2c, 0x2d, P66, N_16, F_SSE2, N_L | N_MMX},
    {MAP_0F, 0x2c, 0x2d, PF3, N_4, F_SSE, N_LVE | N_GREG},
    {MAP_0F, 0x2c, 0x2d, PF2, N_8, F_SSE2, N_LVE | N_GREG},
    {MAP_0F, 0x2e, 0x2f, NP, N_4, F_SSE, N_LVE},
    {MAP_0F, 0x2e, 0x2f, P66, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x41, 0x42, NP, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x41, 0x42, P66, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x44, 0x47, NP, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x44, 0x47, P66, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x4a, 0x4b, NP, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x4a, 0x4b, P66, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x50, 0x50, NP, N_NONE, F_SSE, N_LV | N_GREG},
    {MAP_0F, 0x50, 0x50, P66, N_NONE, F_SSE2, N_LV | N_GREG},
    {MAP_0F, 0x51, 0x51, NP, N_VEC, F_SSE, N_LVE},
    {MAP_0F, 0x51, 0x51, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x51, 0x51, PF3, N_4, F_SSE, N_LVE},
    {MAP_0F, 0x51, 0x51, PF2, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x52, 0x53, NP, N_VEC, F_SSE, N_LV},
    {MAP_0F, 0x52, 0x53, PF3, N_4, F_SSE, N_LV},
    {MAP_0F, 0x54, 0x57, NP, N_VEC, F_SSE, N_LVE},
    {MAP_0F, 0x54, 0x57, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x58, 0x59, NP, N_VEC, F_SSE, N_LVE},
    {MAP_0F, 0x58, 0x59, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x58, 0x59, PF3, N_4, F_SSE, N_LVE},
    {MAP_0F, 0x58, 0x59, PF2, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x5a, 0x5a, NP, N_HALF, F_SSE2, N_LVE | N_ELEMENT8},
    {MAP_0F, 0x5a, 0x5a, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x5a, 0x5a, PF3, N_4, F_SSE2, N_LVE},
    {MAP_0F, 0x5a, 0x5a, PF2, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x5b, 0x5b, NP, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x5b, 0x5b, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x5b, 0x5b, PF3, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x5c, 0x5f, NP, N_VEC, F_SSE, N_LVE},
    {MAP_0F, 0x5c, 0x5f, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0x5c, 0x5f, PF3, N_4, F_SSE, N_LVE},
    {MAP_0F, 0x5c, 0x5f, PF2, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x60, 0x62, NP, N_4, F_MMX, N_L | N_MMX},
    {MAP_0F, 0x63, 0x6b, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0x60, 0x60, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0x61, 0x61, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0x62, 0x62, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0x63, 0x64, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0x65, 0x65, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0x66, 0x66, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0x67, 0x68, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0x69, 0x69, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0x6a, 0x6d, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0x6e, 0x6e, NP, N_W, F_MMX, N_L | N_MMX | N_GRM},
    {MAP_0F, 0x6e, 0x6e, P66, N_W, F_SSE2, N_LVE | N_GRM},
    {MAP_0F, 0x6f, 0x6f, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0x7f, 0x7f, NP, N_8, F_MMX, N_L | N_MMX | ST},
    {MAP_0F, 0x6f, 0x6f, P66, N_VEC, F_SSE2, N_LVE | N_ALIGNED},
    {MAP_0F, 0x7f, 0x7f, P66, N_VEC, F_SSE2, N_LVE | N_ALIGNED | ST},
    {MAP_0F, 0x6f, 0x6f, PF3, N_VEC, F_SSE2, N_LVE | N_ANY},
    {MAP_0F, 0x7f, 0x7f, PF3, N_VEC, F_SSE2, N_LVE | N_ANY | ST},
    {MAP_0F, 0x6f, 0x6f, PF2, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {MAP_0F, 0x7f, 0x7f, PF2, N_VEC, F_AVX512, N_E | N_BYTEWORD | ST},
    {MAP_0F, 0x70, 0x70, NP, N_8, F_SSE, N_L | N_MMX | IMM},
    {MAP_0F, 0x70, 0x70, P66, N_VEC, F_SSE2, N_LVE | N_INT | IMM},
    {MAP_0F, 0x70, 0x70, PF3, N_VEC, F_SSE2, N_LVE | N_INT | IMM | N_ELEMENT2},
    {MAP_0F, 0x70, 0x70, PF2, N_VEC, F_SSE2, N_LVE | N_INT | IMM | N_ELEMENT2},
    {MAP_0F, 0x71, 0x73, NP, N_NONE, F_MMX, N_L | N_MMX | IMM},
    {MAP_0F, 0x71, 0x73, P66, N_NONE, F_SSE2, N_LV | N_INT | IMM},
    {MAP_0F, 0x71, 0x71, P66, N_VEC, F_AVX512, N_E | IMM | N_ELEMENT2},
    {MAP_0F, 0x72, 0x73, P66, N_VEC, F_AVX512, N_E | IMM},
    {MAP_0F, 0x74, 0x76, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0x74, 0x74, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0x75, 0x75, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0x76, 0x76, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0x77, 0x77, NP, N_NONE, F_MMX, N_L | N_MMX},
    {MAP_0F, 0x77, 0x77, NP, N_NONE, F_AVX, N_V | N_ZERO},
    {MAP_0F, 0x78, 0x79, NP, N_VEC, F_AVX512, N_E},
    {MAP_0F, 0x78, 0x7b, P66, N_HALF_W0, F_AVX512, N_E | N_ELEMENT8},
    {MAP_0F, 0x78, 0x79, PF3, N_4, F_AVX512, N_E | N_GREG},
    {MAP_0F, 0x78, 0x79, PF2, N_8, F_AVX512, N_E | N_GREG},
    {MAP_0F, 0x7a, 0x7a, PF3, N_HALF_W0, F_AVX512, N_E | N_ELEMENT8},
    {MAP_0F, 0x7a, 0x7a, PF2, N_VEC, F_AVX512, N_E},
    {MAP_0F, 0x7b, 0x7b, PF3, N_W, F_AVX512, N_E | N_GRM},
    {MAP_0F, 0x7b, 0x7b, PF2, N_W, F_AVX512, N_E | N_GRM},
    {MAP_0F, 0x7c, 0x7d, P66, N_VEC, F_SSE3, N_LV},
    {MAP_0F, 0x7c, 0x7d, PF2, N_VEC, F_SSE3, N_LV},
    {MAP_0F, 0x7e, 0x7e, NP, N_W, F_MMX, N_L | N_MMX | N_GRM | ST},
    {MAP_0F, 0x7e, 0x7e, P66, N_W, F_SSE2, N_LVE | N_GRM | ST},
    {MAP_0F, 0x7e, 0x7e, PF3, N_8, F_SSE2, N_LVE},
    {MAP_0F, 0x90, 0x90, NP, N_K, F_AVX512, N_V},
    {MAP_0F, 0x90, 0x90, P66, N_K, F_AVX512, N_V},
    {MAP_0F, 0x91, 0x91, NP, N_K, F_AVX512, N_V | ST},
    {MAP_0F, 0x91, 0x91, P66, N_K, F_AVX512, N_V | ST},
    {MAP_0F, 0x92, 0x92, NP, N_NONE, F_AVX512, N_V | N_GRM},
    {MAP_0F, 0x92, 0x92, P66, N_NONE, F_AVX512, N_V | N_GRM},
    {MAP_0F, 0x92, 0x92, PF2, N_NONE, F_AVX512, N_V | N_GRM},
    {MAP_0F, 0x93, 0x93, NP, N_NONE, F_AVX512, N_V | N_GREG},
    {MAP_0F, 0x93, 0x93, P66, N_NONE, F_AVX512, N_V | N_GREG},
    {MAP_0F, 0x93, 0x93, PF2, N_NONE, F_AVX512, N_V | N_GREG},
    {MAP_0F, 0x98, 0x99, NP, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0x98, 0x99, P66, N_NONE, F_AVX512, N_V},
    {MAP_0F, 0xc2, 0xc2, NP, N_VEC, F_SSE, N_LVE | IMM},
    {MAP_0F, 0xc2, 0xc2, P66, N_VEC, F_SSE2, N_LVE | IMM},
    {MAP_0F, 0xc2, 0xc2, PF3, N_4, F_SSE, N_LVE | IMM},
    {MAP_0F, 0xc2, 0xc2, PF2, N_8, F_SSE2, N_LVE | IMM},
    {MAP_0F, 0xc4, 0xc4, NP, N_2, F_SSE, N_L | N_MMX | N_GRM | IMM},
    {MAP_0F, 0xc4, 0xc4, P66, N_2, F_SSE2, N_LVE | N_GRM | IMM},
    {MAP_0F, 0xc5, 0xc5, NP, N_NONE, F_SSE, N_L | N_MMX | N_GREG | IMM},
    {MAP_0F, 0xc5, 0xc5, P66, N_NONE, F_SSE2, N_LVE | N_GREG | IMM},
    {MAP_0F, 0xc6, 0xc6, NP, N_VEC, F_SSE, N_LVE | IMM},
    {MAP_0F, 0xc6, 0xc6, P66, N_VEC, F_SSE2, N_LVE | IMM},
    {MAP_0F, 0xd0, 0xd0, P66, N_VEC, F_SSE3, N_LV},
    {MAP_0F, 0xd0, 0xd0, PF2, N_VEC, F_SSE3, N_LV},
    {MAP_0F, 0xd1, 0xd5, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0xd1, 0xd3, P66, N_16, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xd4, 0xd4, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xd5, 0xd5, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xd6, 0xd6, P66, N_8, F_SSE2, N_LVE | ST},
    {MAP_0F, 0xd6, 0xd6, PF3, N_NONE, F_SSE2, N_L | N_MMX},
    {MAP_0F, 0xd6, 0xd6, PF2, N_NONE, F_SSE2, N_L | N_MMX},
    {MAP_0F, 0xd7, 0xd7, NP, N_NONE, F_SSE, N_L | N_MMX | N_GREG},
    {MAP_0F, 0xd7, 0xd7, P66, N_NONE, F_SSE2, N_LV | N_INT | N_GREG},
    {MAP_0F, 0xd8, 0xdf, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0xd8, 0xd8, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xd9, 0xd9, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xda, 0xda, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xdb, 0xdb, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xdc, 0xdc, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xdd, 0xdd, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xde, 0xde, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xdf, 0xdf, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xe0, 0xe5, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0xe0, 0xe0, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xe1, 0xe2, P66, N_16, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xe3, 0xe5, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xe6, 0xe6, P66, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0xe6, 0xe6, PF2, N_VEC, F_SSE2, N_LVE},
    {MAP_0F, 0xe6, 0xe6, PF3, N_HALF_W0, F_SSE2, N_E | N_ELEMENT8},
    {MAP_0F, 0xe6, 0xe6, PF3, N_HALF, F_SSE2, N_LV},
    {MAP_0F, 0xe7, 0xe7, NP, N_8, F_SSE, N_L | N_MMX | ST},
    {MAP_0F, 0xe7, 0xe7, P66, N_VEC, F_SSE2, N_LVE | N_ALIGNED | ST},
    {MAP_0F, 0xe8, 0xef, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0xe8, 0xe8, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xe9, 0xea, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xeb, 0xeb, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xec, 0xec, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xed, 0xee, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xef, 0xef, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xf0, 0xf0, PF2, N_VEC, F_SSE3, N_LV | N_ANY},
    {MAP_0F, 0xf1, 0xf6, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0xf1, 0xf3, P66, N_16, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xf4, 0xf4, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xf5, 0xf5, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xf6, 0xf6, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xf7, 0xf7, NP, N_NONE, F_SSE, N_L | N_MMX | N_MASKMOV},
    {MAP_0F, 0xf7, 0xf7, P66, N_NONE, F_SSE2, N_LV | N_MASKMOV},
    {MAP_0F, 0xf8, 0xfe, NP, N_8, F_MMX, N_L | N_MMX},
    {MAP_0F, 0xf8, 0xf8, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xf9, 0xf9, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xfa, 0xfb, P66, N_VEC, F_SSE2, N_LVE | N_INT},
    {MAP_0F, 0xfc, 0xfc, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT1},
    {MAP_0F, 0xfd, 0xfd, P66, N_VEC, F_SSE2, N_LVE | N_INT | N_ELEMENT2},
    {MAP_0F, 0xfe, 0xfe, P66, N_VEC, F_SSE2, N_LVE | N_INT},
};

#define M38 MAP_0F38
static const struct native_row rows_0f38[] = {
    {M38, 0x00, 0x0b, NP, N_8, F_SSSE3, N_L | N_MMX},
    {M38, 0x00, 0x00, P66, N_VEC, F_SSSE3, N_LVE | N_INT | N_ELEMENT1},
    {M38, 0x01, 0x03, P66, N_VEC, F_SSSE3, N_LV | N_INT},
    {M38, 0x04, 0x04, P66, N_VEC, F_SSSE3, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x05, 0x0a, P66, N_VEC, F_SSSE3, N_LV | N_INT},
    {M38, 0x0b, 0x0b, P66, N_VEC, F_SSSE3, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x0c, 0x0d, P66, N_VEC, F_AVX, N_VE},
    {M38, 0x0e, 0x0f, P66, N_VEC, F_AVX, N_V},
    {M38, 0x10, 0x10, P66, N_VEC, F_SSE41, N_L},
    {M38, 0x14, 0x15, P66, N_VEC, F_SSE41, N_L},
    {M38, 0x10, 0x12, P66, N_VEC, F_AVX512, N_E | N_ELEMENT2},
    {M38, 0x14, 0x15, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x10, 0x10, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT2},
    {M38, 0x11, 0x11, PF3, N_QUARTER, F_AVX512, N_E | ST | N_ELEMENT4},
    {M38, 0x12, 0x12, PF3, N_EIGHTH, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x13, 0x13, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT4},
    {M38, 0x14, 0x14, PF3, N_QUARTER, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x15, 0x15, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x20, 0x20, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT2},
    {M38, 0x21, 0x21, PF3, N_QUARTER, F_AVX512, N_E | ST | N_ELEMENT4},
    {M38, 0x22, 0x22, PF3, N_EIGHTH, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x23, 0x23, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT4},
    {M38, 0x24, 0x24, PF3, N_QUARTER, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x25, 0x25, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x30, 0x30, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT2},
    {M38, 0x31, 0x31, PF3, N_QUARTER, F_AVX512, N_E | ST | N_ELEMENT4},
    {M38, 0x32, 0x32, PF3, N_EIGHTH, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x33, 0x33, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT4},
    {M38, 0x34, 0x34, PF3, N_QUARTER, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x35, 0x35, PF3, N_HALF, F_AVX512, N_E | ST | N_ELEMENT8},
    {M38, 0x13, 0x13, P66, N_HALF, F_F16C, N_VE | N_ELEMENT4},
    {M38, 0x16, 0x16, P66, N_VEC, F_AVX2, N_VE},
    {M38, 0x17, 0x17, P66, N_VEC, F_SSE41, N_LV},
    {M38, 0x18, 0x18, P66, N_4, F_AVX, N_VE},
    {M38, 0x19, 0x19, P66, N_8, F_AVX, N_VE},
    {M38, 0x1a, 0x1a, P66, N_16, F_AVX, N_VE},
    {M38, 0x1b, 0x1b, P66, N_32, F_AVX512, N_E},
    {M38, 0x1c, 0x1e, NP, N_8, F_SSSE3, N_L | N_MMX},
    {M38, 0x1c, 0x1c, P66, N_VEC, F_SSSE3, N_LVE | N_INT | N_ELEMENT1},
    {M38, 0x1d, 0x1d, P66, N_VEC, F_SSSE3, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x1e, 0x1e, P66, N_VEC, F_SSSE3, N_LVE | N_INT},
    {M38, 0x1f, 0x1f, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x20, 0x20, P66, N_HALF, F_SSE41, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x21, 0x21, P66, N_QUARTER, F_SSE41, N_LVE | N_INT | N_ELEMENT4},
    {M38, 0x22, 0x22, P66, N_EIGHTH, F_SSE41, N_LVE | N_INT | N_ELEMENT8},
    {M38, 0x23, 0x23, P66, N_HALF, F_SSE41, N_LVE | N_INT | N_ELEMENT4},
    {M38, 0x24, 0x24, P66, N_QUARTER, F_SSE41, N_LVE | N_INT | N_ELEMENT8},
    {M38, 0x25, 0x25, P66, N_HALF, F_SSE41, N_LVE | N_INT | N_ELEMENT8},
    {M38, 0x30, 0x30, P66, N_HALF, F_SSE41, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x31, 0x31, P66, N_QUARTER, F_SSE41, N_LVE | N_INT | N_ELEMENT4},
    {M38, 0x32, 0x32, P66, N_EIGHTH, F_SSE41, N_LVE | N_INT | N_ELEMENT8},
    {M38, 0x33, 0x33, P66, N_HALF, F_SSE41, N_LVE | N_INT | N_ELEMENT4},
    {M38, 0x34, 0x34, P66, N_QUARTER, F_SSE41, N_LVE | N_INT | N_ELEMENT8},
    {M38, 0x35, 0x35, P66, N_HALF, F_SSE41, N_LVE | N_INT | N_ELEMENT8},
    {M38, 0x26, 0x26, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x26, 0x26, PF3, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x27, 0x27, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x27, 0x27, PF3, N_VEC, F_AVX512, N_E},
    {M38, 0x28, 0x29, P66, N_VEC, F_SSE41, N_LVE | N_INT},
    {M38, 0x28, 0x2a, PF3, N_NONE, F_AVX512, N_E},
    {M38, 0x2a, 0x2a, P66, N_VEC, F_SSE41, N_LVE | N_INT | N_ALIGNED},
    {M38, 0x2b, 0x2b, P66, N_VEC, F_SSE41, N_LVE | N_INT},
    {M38, 0x2c, 0x2d, P66, N_VEC, F_AVX, N_V | N_MASKED},
    {M38, 0x2e, 0x2f, P66, N_VEC, F_AVX, N_V | N_MASKED | ST},
    {M38, 0x2c, 0x2c, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x2d, 0x2d, P66, N_W, F_AVX512, N_E},
    {M38, 0x36, 0x36, P66, N_VEC, F_AVX2, N_VE},
    {M38, 0x37, 0x37, P66, N_VEC, F_SSE42, N_LVE | N_INT},
    {M38, 0x38, 0x38, P66, N_VEC, F_SSE41, N_LVE | N_INT | N_ELEMENT1},
    {M38, 0x39, 0x39, P66, N_VEC, F_SSE41, N_LVE | N_INT},
    {M38, 0x3a, 0x3a, P66, N_VEC, F_SSE41, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x3b, 0x3b, P66, N_VEC, F_SSE41, N_LVE | N_INT},
    {M38, 0x3c, 0x3c, P66, N_VEC, F_SSE41, N_LVE | N_INT | N_ELEMENT1},
    {M38, 0x3d, 0x3d, P66, N_VEC, F_SSE41, N_LVE | N_INT},
    {M38, 0x3e, 0x3e, P66, N_VEC, F_SSE41, N_LVE | N_INT | N_ELEMENT2},
    {M38, 0x3f, 0x40, P66, N_VEC, F_SSE41, N_LVE | N_INT},
    {M38, 0x38, 0x3a, PF3, N_NONE, F_AVX512, N_E},
    {M38, 0x41, 0x41, P66, N_VEC, F_SSE41, N_LV},
    {M38, 0x42, 0x42, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x43, 0x43, P66, N_W, F_AVX512, N_E},
    {M38, 0x44, 0x44, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x45, 0x47, P66, N_VEC, F_AVX2, N_VE},
    {M38, 0x4c, 0x4c, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x4d, 0x4d, P66, N_W, F_AVX512, N_E},
    {M38, 0x4e, 0x4e, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x4f, 0x4f, P66, N_W, F_AVX512, N_E},
    {M38, 0x50, 0x53, P66, N_VEC, F_VNNI, N_VE},
    {M38, 0x52, 0x52, PF3, N_VEC, F_AVX512, N_E},
    {M38, 0x54, 0x54, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x55, 0x55, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x58, 0x58, P66, N_4, F_AVX2, N_VE},
    {M38, 0x59, 0x59, P66, N_8, F_AVX2, N_VE},
    {M38, 0x5a, 0x5a, P66, N_16, F_AVX2, N_VE},
    {M38, 0x5b, 0x5b, P66, N_32, F_AVX512, N_E},
    {M38, 0x62, 0x62, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD | N_PACK},
    {M38, 0x63, 0x63, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD | N_PACK | ST},
    {M38, 0x64, 0x65, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x66, 0x66, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x70, 0x70, P66, N_VEC, F_AVX512, N_E | N_ELEMENT2},
    {M38, 0x71, 0x71, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x72, 0x72, P66, N_VEC, F_AVX512, N_E | N_ELEMENT2},
    {M38, 0x73, 0x73, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x72, 0x72, PF3, N_VEC, F_AVX512, N_E},
    {M38, 0x72, 0x72, PF2, N_VEC, F_AVX512, N_E},
    {M38, 0x75, 0x75, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x76, 0x77, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x78, 0x78, P66, N_1, F_AVX2, N_VE | N_ELEMENT1},
    {M38, 0x79, 0x79, P66, N_2, F_AVX2, N_VE | N_ELEMENT2},
    {M38, 0x7a, 0x7c, P66, N_NONE, F_AVX512, N_E | N_GRM},
    {M38, 0x7d, 0x7d, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x7e, 0x7f, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x83, 0x83, P66, N_VEC, F_AVX512, N_E},
    {M38, 0x88, 0x89, P66, N_VEC, F_AVX512, N_E | N_PACK},
    {M38, 0x8a, 0x8b, P66, N_VEC, F_AVX512, N_E | N_PACK | ST},
    {M38, 0x8c, 0x8c, P66, N_VEC, F_AVX2, N_V | N_MASKED},
    {M38, 0x8e, 0x8e, P66, N_VEC, F_AVX2, N_V | N_MASKED | ST},
    {M38, 0x8d, 0x8d, P66, N_VEC, F_AVX512, N_E | N_BYTEWORD},
    {M38, 0x8f, 0x8f, P66, N_VEC, F_AVX512, N_E | N_ELEMENT1},
    {M38, 0x90, 0x93, P66, N_NONE, F_AVX2, N_VE | N_GATHER},
    {M38, 0xa0, 0xa3, P66, N_NONE, F_AVX512, N_E | N_SCATTER},
    {M38, 0x96, 0x98, P66, N_VEC, F_FMA, N_VE},
    {M38, 0x99, 0x99, P66, N_W, F_FMA, N_VE},
    {M38, 0x9a, 0x9a, P66, N_VEC, F_FMA, N_VE},
    {M38, 0x9b, 0x9b, P66, N_W, F_FMA, N_VE},
    {M38, 0x9c, 0x9c, P66, N_VEC, F_FMA, N_VE},
    {M38, 0x9d, 0x9d, P66, N_W, F_FMA, N_VE},
    {M38, 0x9e, 0x9e, P66, N_VEC, F_FMA, N_VE},
    {M38, 0x9f, 0x9f, P66, N_W, F_FMA, N_VE},
    {M38, 0xa6, 0xa8, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xa9, 0xa9, P66, N_W, F_FMA, N_VE},
    {M38, 0xaa, 0xaa, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xab, 0xab, P66, N_W, F_FMA, N_VE},
    {M38, 0xac, 0xac, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xad, 0xad, P66, N_W, F_FMA, N_VE},
    {M38, 0xae, 0xae, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xaf, 0xaf, P66, N_W, F_FMA, N_VE},
    {M38, 0xb4, 0xb5, P66, N_VEC, F_AVX512, N_E},
    {M38, 0xb6, 0xb8, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xb9, 0xb9, P66, N_W, F_FMA, N_VE},
    {M38, 0xba, 0xba, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xbb, 0xbb, P66, N_W, F_FMA, N_VE},
    {M38, 0xbc, 0xbc, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xbd, 0xbd, P66, N_W, F_FMA, N_VE},
    {M38, 0xbe, 0xbe, P66, N_VEC, F_FMA, N_VE},
    {M38, 0xbf, 0xbf, P66, N_W, F_FMA, N_VE},
    {M38, 0xc4, 0xc4, P66, N_VEC, F_AVX512, N_E},
    {M38, 0xc8, 0xcd, NP, N_16, F_SHA, N_L | N_ANY},
    {M38, 0xcf, 0xcf, P66, N_VEC, F_GFNI, N_LVE | N_ELEMENT1},
    {M38, 0xdb, 0xdb, P66, N_16, F_AES, N_LV},
    {M38, 0xdc, 0xdf, P66, N_VEC, F_AES, N_LVE},
};

#define M3A MAP_0F3A
static const struct native_row rows_0f3a[] = {
    {M3A, 0x00, 0x01, P66, N_VEC, F_AVX2, N_VE | IMM},
    {M3A, 0x02, 0x02, P66, N_VEC, F_AVX2, N_V | IMM},
    {M3A, 0x03, 0x03, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x04, 0x05, P66, N_VEC, F_AVX, N_VE | IMM},
    {M3A, 0x06, 0x06, P66, N_VEC, F_AVX, N_V | IMM},
    {M3A, 0x08, 0x09, P66, N_VEC, F_SSE41, N_LVE | IMM},
    {M3A, 0x0a, 0x0a, P66, N_4, F_SSE41, N_LVE | IMM},
    {M3A, 0x0b, 0x0b, P66, N_8, F_SSE41, N_LVE | IMM},
    {M3A, 0x0c, 0x0d, P66, N_VEC, F_SSE41, N_LV | IMM},
    {M3A, 0x0e, 0x0e, P66, N_VEC, F_SSE41, N_LV | N_INT | IMM},
    {M3A, 0x0f, 0x0f, NP, N_8, F_SSSE3, N_L | N_MMX | IMM},
    {M3A, 0x0f, 0x0f, P66, N_VEC, F_SSSE3, N_LVE | N_INT | IMM | N_ELEMENT1},
    {M3A, 0x14, 0x14, P66, N_1, F_SSE41, N_LVE | N_GRM | ST | IMM},
    {M3A, 0x15, 0x15, P66, N_2, F_SSE41, N_LVE | N_GRM | ST | IMM},
    {M3A, 0x16, 0x16, P66, N_W, F_SSE41, N_LVE | N_GRM | ST | IMM},
    {M3A, 0x17, 0x17, P66, N_4, F_SSE41, N_LVE | N_GRM | ST | IMM},
    {M3A, 0x18, 0x18, P66, N_16, F_AVX, N_VE | IMM},
    {M3A, 0x19, 0x19, P66, N_16, F_AVX, N_VE | ST | IMM},
    {M3A, 0x1a, 0x1a, P66, N_32, F_AVX512, N_E | IMM},
    {M3A, 0x1b, 0x1b, P66, N_32, F_AVX512, N_E | ST | IMM},
    {M3A, 0x1d, 0x1d, P66, N_HALF, F_F16C, N_VE | ST | IMM | N_ELEMENT4},
    {M3A, 0x1e, 0x1f, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x20, 0x20, P66, N_1, F_SSE41, N_LVE | N_GRM | IMM},
    {M3A, 0x21, 0x21, P66, N_4, F_SSE41, N_LVE | IMM},
    {M3A, 0x22, 0x22, P66, N_W, F_SSE41, N_LVE | N_GRM | IMM},
    {M3A, 0x23, 0x23, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x25, 0x26, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x27, 0x27, P66, N_W, F_AVX512, N_E | IMM},
    {M3A, 0x30, 0x33, P66, N_NONE, F_AVX512, N_V | IMM},
    {M3A, 0x38, 0x38, P66, N_16, F_AVX2, N_VE | IMM},
    {M3A, 0x39, 0x39, P66, N_16, F_AVX2, N_VE | ST | IMM},
    {M3A, 0x3a, 0x3a, P66, N_32, F_AVX512, N_E | IMM},
    {M3A, 0x3b, 0x3b, P66, N_32, F_AVX512, N_E | ST | IMM},
    {M3A, 0x3e, 0x3f, P66, N_VEC, F_AVX512, N_E | IMM | N_BYTEWORD},
    {M3A, 0x40, 0x41, P66, N_VEC, F_SSE41, N_LV | IMM},
    {M3A, 0x42, 0x42, P66, N_VEC, F_SSE41, N_LVE | N_INT | IMM | N_ELEMENT2},
    {M3A, 0x43, 0x43, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x44, 0x44, P66, N_VEC, F_PCLMUL, N_LVE | IMM},
    {M3A, 0x46, 0x46, P66, N_VEC, F_AVX2, N_V | IMM},
    {M3A, 0x4a, 0x4b, P66, N_VEC, F_AVX, N_V | IMM},
    {M3A, 0x4c, 0x4c, P66, N_VEC, F_AVX, N_V | N_INT | IMM},
    {M3A, 0x50, 0x50, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x51, 0x51, P66, N_W, F_AVX512, N_E | IMM},
    {M3A, 0x54, 0x54, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x55, 0x55, P66, N_W, F_AVX512, N_E | IMM},
    {M3A, 0x56, 0x56, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x57, 0x57, P66, N_W, F_AVX512, N_E | IMM},
    {M3A, 0x60, 0x63, P66, N_16, F_SSE42, N_LV | N_ANY | N_STRING | IMM},
    {M3A, 0x66, 0x66, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x67, 0x67, P66, N_W, F_AVX512, N_E | IMM},
    {M3A, 0x70, 0x70, P66, N_VEC, F_AVX512, N_E | IMM | N_ELEMENT2},
    {M3A, 0x71, 0x71, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0x72, 0x72, P66, N_VEC, F_AVX512, N_E | IMM | N_ELEMENT2},
    {M3A, 0x73, 0x73, P66, N_VEC, F_AVX512, N_E | IMM},
    {M3A, 0xcc, 0xcc, NP, N_16, F_SHA, N_L | N_ANY | IMM},
    {M3A, 0xce, 0xcf, P66, N_VEC, F_GFNI, N_LVE | IMM | N_ELEMENT1},
    {M3A, 0xdf, 0xdf, P66, N_16, F_AES, N_LV | IMM},
};

/* x87 with a memory operand: D8-DF by ModRM.reg (SDM vol. 2, appendix A.5). */
#define X(size, flags)                                                                                            \
    {                                                                                                             \
        MAP_1, 0xd8, 0xdf, 0, size, F_NONE, N_L | N_X87 | (flags)                                                 \
    }
#define X_NONE                                                                                                    \
    {                                                                                                             \
        0, 0, 0, 0, 0, F_COUNT, 0                                                                                 \
    }
static const struct native_row rows_x87[8][8] = {
    {X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0)},
    {X(N_4, 0), X_NONE, X(N_4, ST), X(N_4, ST), X(N_ENV, N_KEEP_FIP), X(N_2, N_KEEP_FIP), X(N_ENV, ST),
     X(N_2, ST | N_KEEP_FIP)},
    {X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0), X(N_4, 0)},
    {X(N_4, 0), X(N_4, ST), X(N_4, ST), X(N_4, ST), X_NONE, X(N_10, 0), X_NONE, X(N_10, ST)},
    {X(N_8, 0), X(N_8, 0), X(N_8, 0), X(N_8, 0), X(N_8, 0), X(N_8, 0), X(N_8, 0), X(N_8, 0)},
    {X(N_8, 0), X(N_8, ST), X(N_8, ST), X(N_8, ST), X(N_SAVE, N_KEEP_FIP), X_NONE, X(N_SAVE, ST),
     X(N_2, ST | N_KEEP_FIP)},
    {X(N_2, 0), X(N_2, 0), X(N_2, 0), X(N_2, 0), X(N_2, 0), X(N_2, 0), X(N_2, 0), X(N_2, 0)},
    {X(N_2, 0), X(N_2, ST), X(N_2, ST), X(N_2, ST), X(N_10, 0), X(N_8, 0), X(N_10, ST), X(N_8, ST)},
};
const struct native_row native_x87_register = {MAP_1, 0x9b, 0xdf, 0, N_NONE, F_NONE, N_L | N_X87 | N_RAX_OUT};

const struct native_row *native_find_x87(const struct insn *i)
{
    const struct native_row *row = &rows_x87[i->opcode & 7][i->modrm >> 3 & 7];

    return row->feature == F_COUNT ? NULL : row;
}

static const struct native_row *search(const struct native_row *rows, unsigned count, const struct insn *i,
                                       unsigned encoding, unsigned pp)
{
    for (unsigned n = 0; n < count; n++)
        if (rows[n].first <= i->opcode && i->opcode <= rows[n].last && rows[n].pp == pp &&
            rows[n].flags & encoding)
            return &rows[n];
    return NULL;
}

#define ROWS(a) a, sizeof a / sizeof *a

static const struct native_row *find(const struct insn *i, unsigned encoding, unsigned pp)
{
    switch (i->map) {
    case MAP_0F:
        return search(ROWS(rows_0f), i, encoding, pp);
    case MAP_0F38:
        return search(ROWS(rows_0f38), i, encoding, pp);
    case MAP_0F3A:
        return search(ROWS(rows_0f3a), i, encoding, pp);
    default:
        return NULL;
    }
}

static const struct native_row none = {.feature = F_COUNT};

const struct native_row *native_find(struct vcpu *v, const struct insn *i)
{
    unsigned encoding = i->vex == 4 ? 2 : i->vex ? 1 : 0;
    unsigned pp = i->vex ? i->pp : i->rep ? i->rep : i->opsize_prefix ? P66 : NP;
    unsigned pp_index = pp == NP ? 0 : pp == P66 ? 1 : pp == PF3 ? 2 : 3;
    struct cpu_native *n = native_state(v);
    const struct native_row **slot;

    if (i->map > MAP_0F3A || !n)
        return NULL;
    slot = &n->row[encoding][i->map][pp_index][i->opcode];
    if (!*slot) {
        *slot = find(i, 1u << encoding, pp);
        if (!*slot)
            *slot = &none;
    }
    return *slot == &none ? NULL : *slot;
}

static bool has_feature(const struct cpu_model *m, enum native_feature f)
{
    switch (f) {
    case F_MMX:
        return m->f1_edx >> 23 & 1;
    case F_SSE:
        return m->f1_edx >> 25 & 1;
    case F_SSE2:
        return m->f1_edx >> 26 & 1;
    case F_SSE3:
        return m->f1_ecx & 1;
    case F_SSSE3:
        return m->f1_ecx >> 9 & 1;
    case F_SSE41:
        return m->f1_ecx >> 19 & 1;
    case F_SSE42:
        return m->f1_ecx >> 20 & 1;
    case F_PCLMUL:
        return m->f1_ecx >> 1 & 1;
    case F_AES:
        return m->f1_ecx >> 25 & 1;
    case F_SHA:
        return m->f7_ebx >> 29 & 1;
    case F_AVX:
        return m->f1_ecx >> 28 & 1;
    case F_AVX2:
        return m->f7_ebx >> 5 & 1;
    case F_FMA:
        return m->f1_ecx >> 12 & 1;
    case F_F16C:
        return m->f1_ecx >> 29 & 1;
    case F_GFNI:
        return m->f7_ecx >> 8 & 1;
    case F_VNNI:
        return m->f7_1_eax >> 4 & 1;
    case F_AVX512:
        return m->f7_ebx >> 16 & 1;
    default:
        return true;
    }
}

/* VEX needs AVX besides what the legacy form needs (AVX2 for 256-bit integers), EVEX AVX-512. */
bool native_has(const struct vcpu *v, const struct native_row *row, const struct insn *i)
{
    const struct cpu_model *m = v->model;

    if (i->vex == 4)
        return has_feature(m, F_AVX512) && (row->feature != F_GFNI || has_feature(m, F_GFNI)) &&
               (row->feature != F_AES || m->f7_ecx >> 9 & 1) && (row->feature != F_PCLMUL || m->f7_ecx >> 10 & 1);
    if (!has_feature(m, row->feature))
        return false;
    if (!i->vex)
        return true;
    if (row->feature == F_AES && i->vl && !(m->f7_ecx >> 9 & 1))
        return false;
    if (row->feature == F_PCLMUL && i->vl && !(m->f7_ecx >> 10 & 1))
        return false;
    return has_feature(m, row->flags & N_INT && i->vl ? F_AVX2 : F_AVX);
}

unsigned native_element_size(const struct native_row *row, const struct insn *i)
{
    bool w = i->rex & REX_W;

    if (row->flags & N_BYTEWORD)
        return w ? 2 : 1;
    if (row->flags & (N_ELEMENT1 | N_ELEMENT2 | N_ELEMENT4 | N_ELEMENT8))
        return (row->flags & (N_ELEMENT1 | N_ELEMENT2 | N_ELEMENT4 | N_ELEMENT8)) >> 20;
    return w ? 8 : 4;
}

unsigned native_operand_size(const struct native_row *row, const struct insn *i)
{
    unsigned vector = i->vex ? 16u << i->vl : 16, w = i->rex & REX_W ? 8 : 4;
    static const uint8_t fixed[] = {0, 1, 2, 4, 8, 10, 16, 32};

    if (i->vex == 4 && i->evex[2] & 0x10 && row->size >= N_VEC) { /* broadcast of one element */
        if (row->size == N_HALF || row->size == N_HALF_W0)
            return row->size == N_HALF ? 4 : w;
        return w;
    }
    switch (row->size) {
    case N_VEC:
        return vector;
    case N_HALF:
        return vector / 2;
    case N_QUARTER:
        return vector / 4;
    case N_EIGHTH:
        return vector / 8;
    case N_W:
        return w;
    case N_DUP:
        return vector == 16 ? 8 : vector;
    case N_HALF_W0:
        return i->rex & REX_W ? vector : vector / 2;
    case N_K:
        return i->pp == 0x66 ? (w == 8 ? 4 : 1) : w == 8 ? 8 : 2;
    case N_ENV:
        return i->opsize == 2 ? 14 : 28;
    case N_SAVE:
        return i->opsize == 2 ? 94 : 108;
    default:
        return fixed[row->size];
    }
}
