// MicroPython's shared/libc/printf.c implements these over the console.
#pragma once
#include <stdarg.h>
#include <stddef.h>
int printf(const char *format, ...);
int vprintf(const char *format, va_list args);
int snprintf(char *out, size_t size, const char *format, ...);
int vsnprintf(char *out, size_t size, const char *format, va_list args);
int putchar(int c);
int puts(const char *text);
