/*
 * Ten thousand broken checkpoints, blocks of memory and arguments: only statuses, and nothing written
 * unless the status is INHABIT_OK. Made to run under AddressSanitizer: every buffer has exactly the
 * size that the call says.
 */
#include <float.h>

#include "vectors.h"

static uint64_t state = 2026;

static uint64_t draw(void) { /* SplitMix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(size_t bound) { return (size_t)(draw() % bound); }

static uint32_t crc32(const uint8_t *data, size_t size) {
    uint32_t crc = ~0u;
    size_t i;
    int bit;
    for (i = 0; i < size; i++) {
        crc ^= data[i];
        for (bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

/* A copy of a file with some damage; every other time with a checksum that is right again. */
static bytes broken(bytes file) {
    bytes copy;
    size_t changes = 1 + below(4), i;
    copy.size = below(4) ? file.size : below(file.size + 9);
    copy.data = allocate(copy.size);
    memcpy(copy.data, file.data, copy.size < file.size ? copy.size : file.size);
    for (i = 0; i < changes && copy.size; i++) {
        /* mostly in the header, where the grammar is */
        size_t at = below(copy.size < 900 || below(3) == 0 ? copy.size : 900);
        static const char alphabet[] = "0123456789[]{}\":,\\uF6 ";
        switch (below(4)) {
        case 0: copy.data[at] ^= (uint8_t)(1u << below(8)); break;
        case 1: copy.data[at] = (uint8_t)draw(); break;
        case 2: copy.data[at] = (uint8_t)alphabet[below(sizeof alphabet - 1)]; break;
        default: { /* move a piece */
            size_t length = 1 + below(16), from = below(copy.size);
            if (at + length <= copy.size && from + length <= copy.size)
                memmove(copy.data + at, copy.data + from, length);
        }
        }
    }
    if (below(2) && copy.size >= 4) {
        uint32_t crc = crc32(copy.data, copy.size - 4);
        for (i = 0; i < 4; i++) copy.data[copy.size - 4 + i] = (uint8_t)(crc >> (8 * i));
    }
    return copy;
}

static inhabit_status known(inhabit_status status) {
    INSIST(status >= INHABIT_OK && status <= INHABIT_MISSING);
    return status;
}

static int is_filled(const void *memory, uint8_t value, size_t size) {
    const uint8_t *bytes = memory;
    while (size--)
        if (bytes[size] != value) return 0;
    return 1;
}

static void try_model(bytes file, size_t *accepted) {
    size_t size = 77, written, rows = 12, work_size, i;
    uint64_t *memory;
    float x[54 * 12];
    int8_t label[12];
    uint8_t slot[12], outcome[12], late[12];
    uint32_t learn_at[12];
    double probability[12];
    inhabit_prediction prediction;
    if (known(inhabit_model_size(file.data, file.size, 0, &size)) != INHABIT_OK) {
        INSIST(size == 77);
        return;
    }
    memory = allocate(size);
    INSIST(known(inhabit_model_begin(memory, size - 1, file.data, file.size, 0, 0)) != INHABIT_OK);
    if (known(inhabit_model_begin(memory, size, file.data, file.size, 0, 0)) != INHABIT_OK) {
        memset(&prediction, 7, sizeof prediction);
        INSIST_STATUS(INHABIT_STATE, inhabit_model_predict(memory, size, x, 10, 0, &prediction));
        INSIST(is_filled(&prediction, 7, sizeof prediction));
        free(memory);
        return;
    }
    ++*accepted;
    for (i = 0; i < 54 * 12; i++) x[i] = (float)below(100) / 100.0f;
    for (i = 0; i < rows; i++) {
        label[i] = (int8_t)((int)below(3) - 1);
        slot[i] = (uint8_t)below(24);
        learn_at[i] = (uint32_t)(i + 1 + below(rows - i));
    }
    if (below(2)) /* damage the block as well */
        ((uint8_t *)memory)[below(below(2) ? 500 : size)] ^= (uint8_t)(1u << below(8));
    if (known(inhabit_model_walk_size(memory, size, rows, &work_size)) == INHABIT_OK &&
        work_size < (1u << 22)) {
        uint64_t *work = allocate(work_size);
        known(inhabit_model_walk(memory, size, x, label, slot, learn_at, rows, 0, rows, probability,
                                 work, work_size));
        INSIST(known(inhabit_model_walk(memory, size, x, label, slot, learn_at, rows, 0, rows,
                                        probability, work, work_size - 8)) != INHABIT_OK);
        free(work);
    }
    known(inhabit_model_learn(memory, size, x, 10, (uint32_t)below(26), (uint32_t)below(3)));
    for (i = 0; i < rows; i++) {
        slot[i] = (uint8_t)below(below(4) ? 24 : 26);
        outcome[i] = (uint8_t)below(below(4) ? 2 : 3);
        late[i] = (uint8_t)below(2);
    }
    known(inhabit_model_learn_together(memory, size, x, 10, slot, outcome, late, below(rows + 1)));
    if (known(inhabit_model_predict(memory, size, x, 10, 0, &prediction)) == INHABIT_OK) {
        INSIST(prediction.probability >= 0.0 && prediction.probability <= 1.0);
        if (known(inhabit_model_save(memory, size, "{}", 2, NULL, 0, &written)) == INHABIT_OK) {
            uint8_t *saved = allocate(written);
            INSIST_STATUS(INHABIT_OK,
                          inhabit_model_save(memory, size, "{}", 2, saved, written, &written));
            INSIST_STATUS(INHABIT_OK, inhabit_checkpoint_verify(saved, written));
            free(saved);
        }
    }
    free(memory);
}

static void try_checkpoint(bytes file) {
    static const char *const names[] = {"model.state", "prior.mean", "history.x", "checksum", ""};
    const char *name = names[below(5)];
    uint32_t dtype = (uint32_t)below(4);
    size_t count = 77, length = 77;
    inhabit_status verified = known(inhabit_checkpoint_verify(file.data, file.size));
    inhabit_status found = known(inhabit_checkpoint_tensor(file.data, file.size, name, strlen(name),
                                                           dtype, NULL, 0, &count));
    if (found == INHABIT_OK) {
        size_t size = count * (dtype == INHABIT_F64 ? 8 : 4);
        void *data = allocate(size);
        memset(data, 7, size);
        if (known(inhabit_checkpoint_tensor(file.data, file.size, name, strlen(name), dtype, data,
                                            count, &count)) != INHABIT_OK)
            INSIST(is_filled(data, 7, size));
        if (count)
            INSIST_STATUS(INHABIT_SPACE,
                          inhabit_checkpoint_tensor(file.data, file.size, name, strlen(name), dtype,
                                                    data, count - 1, &count));
        free(data);
    } else {
        INSIST(count == 77);
    }
    if (known(inhabit_checkpoint_manifest(file.data, file.size, NULL, 0, &length)) == INHABIT_OK) {
        char *text = allocate(length);
        INSIST(verified == INHABIT_OK);
        INSIST_STATUS(INHABIT_OK,
                      inhabit_checkpoint_manifest(file.data, file.size, text, length, &length));
        free(text);
    } else {
        INSIST(verified != INHABIT_OK && length == 77);
    }
}

/* Networks and trainings with arguments that are a little, or very, wrong. */
static void try_training(size_t *steps) {
    static const uint32_t sizes[] = {0, 1, 2, 3, 10, 16, 4096, 4097, 0xffffffffu};
    inhabit_network network = {3, INHABIT_RELU, INHABIT_BCE_WITH_LOGITS, {3, 4, 1}};
    inhabit_training_config config;
    inhabit_training_progress progress;
    size_t count = 77, rows = below(9), size = 77, n_in, n_out;
    float *x, *y, *parameters;
    uint64_t *memory;
    if (below(3) == 0) network.layer_count = sizes[below(9)];
    if (below(3) == 0) network.layers[below(4)] = sizes[below(9)];
    if (below(9) == 0) network.hidden = (uint32_t)below(6);
    if (below(9) == 0) network.loss = (uint32_t)below(3);
    if (known(inhabit_network_parameter_count(&network, &count)) != INHABIT_OK) {
        INSIST(count == 77);
        return;
    }
    if (count > 1u << 20) return;
    n_in = network.layers[0];
    n_out = network.layers[network.layer_count - 1];
    x = allocate(rows * n_in * sizeof *x);
    y = allocate(rows * n_out * sizeof *y);
    parameters = allocate(count * sizeof *parameters);
    INSIST_STATUS(INHABIT_OK, inhabit_network_initialize(&network, draw(), parameters, count));
    if (rows && below(4) == 0) {
        static const uint32_t patterns[] = {0x7f800000u, 0x7fc00000u, 0x7f7fffffu, 1u, 0xc0000000u};
        float strange;
        memcpy(&strange, &patterns[below(5)], sizeof strange);
        (below(2) ? x : y)[0] = strange;
    }
    INSIST_STATUS(INHABIT_OK, inhabit_training_defaults(&config));
    if (below(3) == 0) config.epochs = (uint32_t)below(3);
    if (below(3) == 0) config.batch_size = (uint32_t)below(5);
    if (below(5) == 0) config.patience = (uint32_t)below(3);
    if (below(9) == 0) config.learning_rate = below(2) ? -1.0 : 1e6;
    if (below(9) == 0) config.optimizer = (uint32_t)below(3);
    INSIST_STATUS(INHABIT_OK, inhabit_training_size(&network, rows, &size));
    memory = allocate(size);
    if (rows) /* NULL for an empty list is fine elsewhere */
        INSIST_STATUS(INHABIT_NULL, inhabit_training_begin(memory, size, &network, &config, NULL, y,
                                                           NULL, rows, parameters, count));
    INSIST(known(inhabit_training_begin(memory, size - 8, &network, &config, x, y, NULL, rows,
                                        parameters, count)) != INHABIT_OK);
    INSIST(is_filled(memory, 0, size));
    if (known(inhabit_training_begin(memory, size, &network, &config, x, y, NULL, rows, parameters,
                                     count)) == INHABIT_OK) {
        inhabit_network begun;
        size_t begun_rows;
        INSIST_STATUS(INHABIT_OK, inhabit_training_begun(memory, size, &begun, &begun_rows));
        INSIST(memcmp(&begun, &network, sizeof begun) == 0 && begun_rows == rows);
        INSIST_STATUS(INHABIT_OVERLAP, inhabit_training_begun(memory, size, &begun, (size_t *)memory));
        if (below(2)) /* damage the block */
            ((uint8_t *)memory)[below(below(2) ? 260 : size)] ^= (uint8_t)(1u << below(8));
        memset(&progress, 7, sizeof progress);
        if (known(inhabit_training_step(memory, size, x, y, NULL, below(2) ? parameters : NULL,
                                        below(5), &progress)) == INHABIT_OK)
            ++*steps;
        else
            INSIST(is_filled(&progress, 7, sizeof progress));
        known(inhabit_training_parameters(memory, size, parameters, count));
    } else {
        INSIST(is_filled(memory, 0, size));
    }
    free(x);
    free(y);
    free(parameters);
    free(memory);
}

/* Pointers that must be refused before anything is read or written. */
static void try_pointers(void) {
    inhabit_network network = {3, INHABIT_RELU, INHABIT_BCE_WITH_LOGITS, {3, 4, 1}};
    float memory[64];
    uint64_t block[4] = {0, 0, 0, 0};
    double aligned[4] = {0, 0, 0, 0};
    char *odd = (char *)aligned + 1;
    size_t count;
    memset(memory, 0, sizeof memory);
    INSIST_STATUS(INHABIT_NULL, inhabit_network_parameter_count(NULL, &count));
    INSIST_STATUS(INHABIT_NULL, inhabit_network_parameter_count(&network, NULL));
    INSIST_STATUS(INHABIT_MISALIGNED, inhabit_network_parameter_count(&network, (size_t *)(void *)odd));
    INSIST_STATUS(INHABIT_SIZE, inhabit_network_initialize(&network, 0, memory, 20));
    INSIST_STATUS(INHABIT_OK, inhabit_network_initialize(&network, 0, memory, 21));
    INSIST_STATUS(INHABIT_OVERLAP, inhabit_predict(&network, memory, 21, memory + 21, 1, memory + 20));
    INSIST_STATUS(INHABIT_SIZE, inhabit_predict(&network, memory, 21, memory + 21, (size_t)-1 / 3, memory));
    INSIST_STATUS(INHABIT_NULL, inhabit_predict(&network, memory, 21, NULL, 1, memory + 40));
    INSIST_STATUS(INHABIT_MISALIGNED,
                  inhabit_predict(&network, memory, 21, (float *)(void *)odd, 1, memory + 40));
    INSIST_STATUS(INHABIT_OK, inhabit_predict(&network, memory, 21, NULL, 0, NULL));
    INSIST_STATUS(INHABIT_OK, inhabit_predict(&network, memory, 21, memory + 21, 1, memory + 40));
    memory[21] = memory[22] = memory[23] = FLT_MAX; /* finite, but their sums are not */
    INSIST_STATUS(INHABIT_NON_FINITE, inhabit_predict(&network, memory, 21, memory + 21, 1, memory + 40));
    INSIST_STATUS(INHABIT_NULL, inhabit_training_parameters(NULL, 0, memory, 21));
    INSIST_STATUS(INHABIT_SPACE, inhabit_training_parameters(block, sizeof block, memory, 21));
    INSIST_STATUS(INHABIT_SPACE, inhabit_model_predict(block, sizeof block, memory, 10, 0,
                                                       (inhabit_prediction *)(void *)aligned));
    INSIST_STATUS(INHABIT_NULL, inhabit_training_begun(NULL, 0, &network, &count));
    INSIST_STATUS(INHABIT_SPACE, inhabit_training_begun(block, sizeof block, &network, &count));
    INSIST_STATUS(INHABIT_RANGE, inhabit_model_size(NULL, 0, 0, &count));
    INSIST_STATUS(INHABIT_OK, inhabit_model_size(NULL, 0, 10, &count));
    INSIST_STATUS(INHABIT_CHECKPOINT, inhabit_checkpoint_verify(NULL, 0));
    INSIST_STATUS(INHABIT_NULL, inhabit_checkpoint_verify(NULL, 1));
}

/* Every number of inputs that there can be, and some that there cannot be. */
static void try_inputs(void) {
    const uint8_t first_slot[1] = {0}, positive[1] = {1}, no_outcome[1] = {2};
    uint32_t inputs, accepted = 0;
    float x[64];
    memset(x, 0, sizeof x);
    for (inputs = 0; inputs < 64; inputs++) {
        size_t size;
        inhabit_prediction prediction;
        if (known(inhabit_model_size(NULL, 0, inputs, &size)) == INHABIT_OK) {
            uint64_t *memory = allocate(size);
            uint64_t rates = inputs ? ~(uint64_t)0 >> (64 - inputs) : 0;
            INSIST_STATUS(INHABIT_OK, inhabit_model_begin(memory, size, NULL, 0, inputs, rates));
            INSIST_STATUS(INHABIT_OVERLAP, inhabit_model_walk_size(memory, size, 1, (size_t *)memory));
            INSIST_STATUS(INHABIT_OK, inhabit_model_learn(memory, size, x, inputs, 0, 1));
            INSIST_STATUS(INHABIT_OK, inhabit_model_learn_together(memory, size, x, inputs,
                                                                   first_slot, positive, positive, 1));
            INSIST_STATUS(INHABIT_RANGE, inhabit_model_learn_together(memory, size, x, inputs,
                                                                      positive, no_outcome, positive, 1));
            INSIST_STATUS(INHABIT_NULL, inhabit_model_learn_together(memory, size, x, inputs, NULL,
                                                                     positive, positive, 1));
            INSIST_STATUS(INHABIT_OK,
                          inhabit_model_predict(memory, size, x, inputs, 23, &prediction));
            INSIST_STATUS(INHABIT_SIZE,
                          inhabit_model_predict(memory, size, x, inputs + 1, 0, &prediction));
            INSIST_STATUS(INHABIT_RANGE,
                          inhabit_model_predict(memory, size, x, inputs, 24, &prediction));
            free(memory);
            accepted++;
        }
    }
    INSIST(accepted == 53);
}

int main(int argc, char **argv) {
    bytes files[4];
    size_t round, accepted = 0, steps = 0;
    INSIST(argc == 2);
    files[0] = read_file(argv[1], "core.safetensors");
    files[1] = read_file(argv[1], "prior.safetensors");
    files[2] = read_file(argv[1], "generation.safetensors");
    files[3] = read_file(argv[1], "ensemble.safetensors");
    try_pointers();
    try_inputs();
    for (round = 0; round < 10000; round++) {
        bytes file = broken(files[below(4)]);
        try_checkpoint(file);
        try_model(file, &accepted);
        try_training(&steps);
        free(file.data);
    }
    /* The test is not void: some damage is harmless (a number of the manifest, a parameter). */
    INSIST(accepted > 100 && steps > 1000);
    for (round = 0; round < 4; round++) free(files[round].data);
    printf("C: 10,000 broken checkpoints and arguments: only statuses (%lu models, %lu trainings went on)\n",
           (unsigned long)accepted, (unsigned long)steps);
    return 0;
}
