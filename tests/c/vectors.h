/* What the C tests share: files, tensors of the golden vectors, insisting on a status. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inhabit.h"

#define INSIST(condition)                                                          \
    do {                                                                           \
        if (!(condition)) {                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            exit(1);                                                               \
        }                                                                          \
    } while (0)

#define INSIST_STATUS(expected, call)                                              \
    do {                                                                           \
        inhabit_status got_ = (call);                                              \
        if (got_ != (expected)) {                                                  \
            fprintf(stderr, "%s:%d: %s: expected %d, got %d (%s)\n", __FILE__,     \
                    __LINE__, #call, (int)(expected), (int)got_,                   \
                    inhabit_status_message(got_));                                 \
            exit(1);                                                               \
        }                                                                          \
    } while (0)

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

/* Exactly `size` bytes of memory, so that a sanitizer sees the first one too many. */
static inline void *allocate(size_t size) {
    void *memory = calloc(size ? size : 1, 1);
    INSIST(memory != NULL);
    return memory;
}

static inline bytes read_file(const char *folder, const char *name) {
    char path[4096];
    bytes file;
    FILE *stream;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    stream = fopen(path, "rb");
    INSIST(stream != NULL);
    INSIST(fseek(stream, 0, SEEK_END) == 0);
    file.size = (size_t)ftell(stream);
    rewind(stream);
    file.data = allocate(file.size);
    INSIST(fread(file.data, 1, file.size, stream) == file.size);
    fclose(stream);
    return file;
}

/* A tensor of a file in memory of its own; `count` gets its elements. */
static inline void *read_tensor(bytes file, const char *name, uint32_t dtype, size_t *count) {
    void *data;
    INSIST_STATUS(INHABIT_OK, inhabit_checkpoint_tensor(file.data, file.size, name, strlen(name),
                                                        dtype, NULL, 0, count));
    data = allocate(*count * (dtype == INHABIT_F64 ? 8 : 4));
    INSIST_STATUS(INHABIT_OK, inhabit_checkpoint_tensor(file.data, file.size, name, strlen(name),
                                                        dtype, data, *count, count));
    return data;
}

#endif
