/* print: text, times and tables for people. Whatever came from elsewhere passes ctl_clean(), so that
 * it cannot move the cursor, recolour the screen or start a line of its own. */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_WIDTH    100 /* columns; a wider cell goes on in the next line, nothing is cut */
#define CTL_COLS_MAX 10
#define CTL_TIME_MAX 80

enum ctl_colour { CTL_PLAIN, CTL_GOOD, CTL_WAITS, CTL_BAD, CTL_HEAD, CTL_FAINT };

/* A copy with control characters, line ends, direction marks and bytes that are not UTF-8 escaped
 * (\n, \x1b, \u202e). Owned by the caller; never NULL (the program ends when memory is out). */
char *ctl_clean(const char *text, size_t len);
/* The same for text of several lines (PEM): line feeds stay. */
char *ctl_clean_lines(const char *text, size_t len);
/* Columns a clean text takes on a terminal. */
size_t ctl_columns(const char *text);
/* How many bytes of a clean text fit into `columns`, ended at a space where there is one. At least one
 * character, so that a loop over it ends. */
size_t ctl_fit(const char *text, size_t columns);

/* "2026-11-22 22:51:23+00:00 (3 min ago)", in the local time zone */
void ctl_time_text(int64_t at_ms, int64_t now_ms, char out[CTL_TIME_MAX]);
/* "now", "5 min ago", "in 23 h": for tables, where a whole instant would not fit beside the rest. */
void ctl_ago_text(int64_t at_ms, int64_t now_ms, char out[CTL_TIME_MAX]);
/* "15 min", "25 h", "500 ms": exact, in the largest unit that is */
void ctl_duration_text(int64_t ms, char out[CTL_TIME_MAX]);

struct ctl_table;
/* heads: `cols` texts. */
struct ctl_table *ctl_table_new(const char *const *heads, size_t cols);
/* The next cell, row by row. `text` is cleaned and copied. */
void ctl_table_add(struct ctl_table *t, const char *text, enum ctl_colour colour);
void ctl_table_print(const struct ctl_table *t, FILE *out, bool colour);
void ctl_table_free(struct ctl_table *t); /* NULL accepted */

/* Text in a colour, where wanted. */
void ctl_put(FILE *out, bool with, enum ctl_colour colour, const char *text);
/* Text broken at spaces into lines of at most CTL_WIDTH columns, later ones indented. */
void ctl_put_wrapped(FILE *out, const char *text, size_t first_column, size_t indent);

/* Memory, or the end of the program with NO_MEMORY: nothing it holds would survive anyway. */
void *ctl_alloc(size_t count, size_t size);

#endif
