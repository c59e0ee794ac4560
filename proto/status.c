#include "antag/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *antag_err_name(enum antag_err err)
{
    switch ((unsigned)err) {
#define ANTAG_ROW(name, number, class, text)                                                       \
    case (number):                                                                                 \
        return #name;
        ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    default:
        return "UNKNOWN";
    }
}

const char *antag_err_message(enum antag_err err)
{
    switch ((unsigned)err) {
#define ANTAG_ROW(name, number, class, text)                                                       \
    case (number):                                                                                 \
        return text;
        ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    default:
        return "a status that this version does not know";
    }
}

bool antag_err_is_known(uint64_t number)
{
    switch (number) {
#define ANTAG_ROW(name, number_, class, text) case (number_):
        ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
        return true;
    default:
        return false;
    }
}

static enum antag_class class_of_unknown(unsigned number)
{
    static const enum antag_class by_hundred[] = {ANTAG_CLASS_INTERNAL, ANTAG_CLASS_CALLER,
                                                  ANTAG_CLASS_DENIED,   ANTAG_CLASS_STATE,
                                                  ANTAG_CLASS_VERIFY,   ANTAG_CLASS_RETRY};
    unsigned hundred = number / 100;

    if (hundred >= sizeof by_hundred / sizeof by_hundred[0])
        return ANTAG_CLASS_INTERNAL;
    return by_hundred[hundred];
}

enum antag_class antag_err_class(enum antag_err err)
{
    switch ((unsigned)err) {
#define ANTAG_ROW(name, number, class, text)                                                       \
    case (number):                                                                                 \
        return ANTAG_CLASS_##class;
        ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    default:
        return class_of_unknown((unsigned)err);
    }
}

struct class_row {
    const char *name;
    int exit;
    const char *advice;
};

static const struct class_row *class_row(enum antag_class class)
{
    static const struct class_row rows[] = {
#define ANTAG_ROW(name, text, exit, advice) [ANTAG_CLASS_##name] = {text, exit, advice},
        ANTAG_CLASS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    };

    if ((size_t) class >= sizeof rows / sizeof rows[0])
        return &rows[ANTAG_CLASS_INTERNAL];
    return &rows[class];
}

int antag_err_exit(enum antag_err err)
{
    return class_row(antag_err_class(err))->exit;
}

const char *antag_class_name(enum antag_class class)
{
    return class_row(class)->name;
}

const char *antag_class_advice(enum antag_class class)
{
    return class_row(class)->advice;
}

/* What a fault says may quote a hostile client and ends up on terminals, in logs and in a MessagePack
 * str: so only printable ASCII goes in, any other byte as \xNN. A backslash stays as it is, so that
 * a text that passes through several programs is escaped once. Cut at the end, never inside an escape. */
static void escape(const char *in, char *out, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    const size_t mark = 3; /* room for "..." */
    size_t at = 0, safe = 0;

    for (; *in != '\0'; in++) {
        unsigned char c = (unsigned char)*in;
        bool plain = c >= 0x20 && c < 0x7f;
        size_t need = plain ? 1 : 4;

        if (at + need >= size) {
            memcpy(out + safe, "...", mark);
            at = safe + mark;
            break;
        }
        if (plain) {
            out[at] = (char)c;
        } else {
            out[at] = '\\';
            out[at + 1] = 'x';
            out[at + 2] = hex[c >> 4];
            out[at + 3] = hex[c & 15];
        }
        at += need;
        if (at + mark < size)
            safe = at;
    }
    out[at] = '\0';
}

enum antag_err antag_fault_set(struct antag_fault *f, enum antag_err err, const char *field,
                               const char *fmt, ...)
{
    char field_copy[ANTAG_FAULT_FIELD_MAX + 1] = "";
    char text[2 * ANTAG_FAULT_TEXT_MAX] = "";
    va_list args;

    if (f == NULL)
        return err;
    /* the arguments may point into `f` itself: nothing of it is written before all are read */
    if (fmt != NULL) {
        va_start(args, fmt);
        if (vsnprintf(text, sizeof text, fmt, args) < 0)
            text[0] = '\0';
        va_end(args);
    }
    if (field != NULL)
        escape(field, field_copy, sizeof field_copy);
    f->err = err;
    f->retry_after_ms = -1;
    memcpy(f->field, field_copy, sizeof f->field);
    escape(text, f->text, sizeof f->text);
    return err;
}

const char *antag_fault_text(const struct antag_fault *f)
{
    return f->text[0] != '\0' ? f->text : antag_err_message(f->err);
}
