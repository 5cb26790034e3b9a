// memcpy, memmove, memset, memcmp, strlen, strncmp: libc.c; the rest: MicroPython's shared/libc/string0.c.
#pragma once
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t octets);
void *memmove(void *to, const void *from, size_t octets);
void *memset(void *to, int value, size_t octets);
int memcmp(const void *a, const void *b, size_t octets);
void *memchr(const void *in, int value, size_t octets);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t octets);
char *strcpy(char *to, const char *from);
char *strncpy(char *to, const char *from, size_t octets);
char *strcat(char *to, const char *from);
char *strchr(const char *in, int value);
char *strstr(const char *in, const char *what);
size_t strspn(const char *in, const char *set);
size_t strcspn(const char *in, const char *set);
