// What MicroPython and its libm_dbl use of the standard header; the functions are in lib/libm_dbl and libc.c.
#pragma once
typedef double double_t;
typedef float float_t;
#define FLT_EVAL_METHOD 0
#define M_PI 3.14159265358979323846
#define M_E 2.7182818284590452354
#define M_PI_2 1.57079632679489661923
#define HUGE_VAL __builtin_huge_val()
#define HUGE_VALF __builtin_huge_valf()
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define FP_NAN 0
#define FP_INFINITE 1
#define FP_ZERO 2
#define FP_SUBNORMAL 3
#define FP_NORMAL 4
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)
#define nan(s) __builtin_nan(s)
#define fpclassify(x) __builtin_fpclassify(FP_NAN, FP_INFINITE, FP_NORMAL, FP_SUBNORMAL, FP_ZERO, x)
double acos(double x), acosh(double x), asin(double x), asinh(double x), atan(double x), atanh(double x);
double atan2(double y, double x), ceil(double x), copysign(double x, double sign), cos(double x), cosh(double x);
double erf(double x), erfc(double x), exp(double x), expm1(double x), fabs(double x), floor(double x);
double fmod(double x, double y), frexp(double x, int *exponent), ldexp(double x, int exponent), lgamma(double x);
double log(double x), log10(double x), log1p(double x), modf(double x, double *whole), nearbyint(double x);
double pow(double x, double y), rint(double x), round(double x), scalbn(double x, int exponent), sin(double x);
double sinh(double x), sqrt(double x), tan(double x), tanh(double x), tgamma(double x), trunc(double x);
