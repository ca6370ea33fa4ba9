/* The golden vectors through the C interface, in C99. */
#include "vectors.h"

static const inhabit_network RELU = {
    4, INHABIT_RELU, INHABIT_BCE_WITH_LOGITS, {10, 16, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};

static void test_status_messages(void) {
    inhabit_status status;
    for (status = INHABIT_OK; status <= INHABIT_MISSING; status++)
        INSIST(strcmp(inhabit_status_message(status), "unknown status") != 0);
    INSIST(strcmp(inhabit_status_message(-1), "unknown status") == 0);
    INSIST(strcmp(inhabit_status_message(1000), "unknown status") == 0);
    INSIST(inhabit_abi_version() == INHABIT_ABI_VERSION);
}

static void test_networks(bytes core) {
    static const char *const names[] = {"identity", "relu", "tanh", "sigmoid"};
    size_t n_x, count, n_expected;
    uint32_t kind;
    float *x = read_tensor(core, "history.x", INHABIT_F32, &n_x);
    for (kind = 0; kind < 4; kind++) {
        char name[64];
        inhabit_network network = RELU;
        float *parameters, *predictions, *expected;
        network.hidden = kind;
        INSIST_STATUS(INHABIT_OK, inhabit_network_parameter_count(&network, &count));
        INSIST(count == 321);
        parameters = allocate(count * sizeof *parameters);
        INSIST_STATUS(INHABIT_OK, inhabit_network_initialize(&network, kind, parameters, count));
        snprintf(name, sizeof name, "network.%s.parameters", names[kind]);
        expected = read_tensor(core, name, INHABIT_F32, &n_expected);
        INSIST(memcmp(parameters, expected, count * sizeof *parameters) == 0);
        free(expected);
        predictions = allocate(n_x / 10 * sizeof *predictions);
        INSIST_STATUS(INHABIT_OK,
                      inhabit_predict(&network, parameters, count, x, n_x / 10, predictions));
        snprintf(name, sizeof name, "network.%s.predictions", names[kind]);
        expected = read_tensor(core, name, INHABIT_F32, &n_expected);
        INSIST(memcmp(predictions, expected, n_x / 10 * sizeof *predictions) == 0);
        free(expected);
        free(predictions);
        free(parameters);
    }
    free(x);
}

/* The samples with a known label: x and y are the caller's to free. */
static size_t known_samples(bytes core, float **x, float **y) {
    size_t n_x, n, i, rows = 0;
    float *all = read_tensor(core, "history.x", INHABIT_F32, &n_x);
    uint32_t *label = read_tensor(core, "history.label", INHABIT_U32, &n);
    *x = allocate(n_x * sizeof **x);
    *y = allocate(n * sizeof **y);
    for (i = 0; i < n; i++) {
        if (label[i] == 0) continue;
        memcpy(*x + 10 * rows, all + 10 * i, 10 * sizeof **x);
        (*y)[rows++] = label[i] == 2 ? 1.0f : 0.0f;
    }
    free(all);
    free(label);
    return rows;
}

static void test_trainings(bytes core) {
    static const char *const names[] = {"sgd", "adam", "ordered", "patience"};
    float *x, *y, *initial, out[321];
    size_t rows = known_samples(core, &x, &y), n, size, i;
    initial = read_tensor(core, "network.relu.parameters", INHABIT_F32, &n);
    INSIST_STATUS(INHABIT_OK, inhabit_training_size(&RELU, rows, &size));
    for (i = 0; i < 4; i++) {
        char name[64];
        double *numbers;
        float *expected;
        uint64_t *memory = allocate(size);
        inhabit_training_config config;
        inhabit_training_progress progress;
        INSIST_STATUS(INHABIT_OK, inhabit_training_defaults(&config));
        snprintf(name, sizeof name, "training.%s.config", names[i]);
        numbers = read_tensor(core, name, INHABIT_F64, &n);
        INSIST(n == 14);
        config.optimizer = (uint32_t)numbers[0];
        config.epochs = (uint32_t)numbers[1];
        config.batch_size = (uint32_t)numbers[2];
        config.patience = (uint32_t)numbers[3];
        config.shuffle = (uint32_t)numbers[4];
        config.seed = (uint64_t)numbers[6];
        config.learning_rate = numbers[7];
        config.momentum = numbers[8];
        config.l2 = numbers[12];
        config.validation_fraction = numbers[13];
        free(numbers);
        INSIST_STATUS(INHABIT_OK, inhabit_training_begin(memory, size, &RELU, &config, x, y, NULL,
                                                         rows, initial, 321));
        do { /* two batches at a time, each time in other memory */
            uint64_t *moved = allocate(size);
            memcpy(moved, memory, size);
            free(memory);
            memory = moved;
            INSIST_STATUS(INHABIT_OK, inhabit_training_step(memory, size, x, y, NULL, NULL, 2,
                                                            &progress));
        } while (progress.status == INHABIT_RUNNING);
        INSIST_STATUS(INHABIT_OK, inhabit_training_parameters(memory, size, out, 321));
        snprintf(name, sizeof name, "training.%s.parameters", names[i]);
        expected = read_tensor(core, name, INHABIT_F32, &n);
        INSIST(n == 321 && memcmp(out, expected, sizeof out) == 0);
        free(expected);
        free(memory);
    }
    free(initial);
    free(x);
    free(y);
}

/* A model that started from `prior` and walked through the history in slices; `said` is what it served. */
static uint64_t *walked(bytes core, bytes prior, const char *said, size_t *size) {
    size_t n, rows, work_size, i;
    float *x = read_tensor(core, "history.x", INHABIT_F32, &n);
    uint32_t *wide_label = read_tensor(core, "history.label", INHABIT_U32, &rows);
    uint32_t *wide_slot = read_tensor(core, "history.slot", INHABIT_U32, &rows);
    uint32_t *learn_at = read_tensor(core, "history.learn_at", INHABIT_U32, &rows);
    double *expected = read_tensor(core, said, INHABIT_F64, &rows);
    int8_t *label = allocate(rows);
    uint8_t *slot = allocate(rows);
    double *probability = allocate(rows * sizeof *probability);
    uint64_t *memory, *work;
    for (i = 0; i < rows; i++) {
        label[i] = (int8_t)((int)wide_label[i] - 1);
        slot[i] = (uint8_t)wide_slot[i];
    }
    INSIST_STATUS(INHABIT_OK, inhabit_model_size(prior.data, prior.size, 0, size));
    memory = allocate(*size);
    INSIST_STATUS(INHABIT_OK, inhabit_model_begin(memory, *size, prior.data, prior.size, 0, 0));
    INSIST_STATUS(INHABIT_OK, inhabit_model_walk_size(memory, *size, rows, &work_size));
    work = allocate(work_size);
    for (i = 0; i < rows; i += 33) {
        size_t to = i + 33 < rows ? i + 33 : rows;
        INSIST_STATUS(INHABIT_OK, inhabit_model_walk(memory, *size, x, label, slot, learn_at, rows, i,
                                                     to, probability, work, work_size));
    }
    INSIST(memcmp(probability, expected, rows * sizeof *probability) == 0);
    free(x);
    free(wide_label);
    free(wide_slot);
    free(learn_at);
    free(expected);
    free(label);
    free(slot);
    free(probability);
    free(work);
    return memory;
}

static void test_models(bytes core, bytes prior, bytes generation) {
    size_t n, size, length, written;
    float *x = read_tensor(core, "history.x", INHABIT_F32, &n);
    uint64_t *memory = walked(core, prior, "walk.probability", &size);
    uint8_t *saved;
    char *manifest;
    inhabit_prediction before, after;
    INSIST_STATUS(INHABIT_OK, inhabit_checkpoint_manifest(generation.data, generation.size, NULL, 0,
                                                          &length));
    manifest = allocate(length);
    INSIST_STATUS(INHABIT_OK, inhabit_checkpoint_manifest(generation.data, generation.size, manifest,
                                                          length, &length));
    INSIST_STATUS(INHABIT_OK,
                  inhabit_model_save(memory, size, manifest, length, NULL, 0, &written));
    INSIST(written == generation.size);
    saved = allocate(written);
    INSIST_STATUS(INHABIT_OK,
                  inhabit_model_save(memory, size, manifest, length, saved, written, &written));
    INSIST(memcmp(saved, generation.data, written) == 0);

    INSIST_STATUS(INHABIT_OK, inhabit_model_predict(memory, size, x, 10, 0, &before));
    INSIST_STATUS(INHABIT_OK, inhabit_model_begin(memory, size, saved, written, 0, 0));
    INSIST_STATUS(INHABIT_OK, inhabit_model_predict(memory, size, x, 10, 0, &after));
    INSIST(memcmp(&before, &after, sizeof before) == 0);
    INSIST(before.probability > 0.0 && before.probability < 1.0);
    free(x);
    free(memory);
    free(manifest);
    free(saved);
}

/* A prior with three networks; what a model learnt from it needs as much memory as one that begins. */
static void test_ensembles(bytes core, bytes ensemble) {
    size_t size, written, again;
    uint64_t *memory = walked(core, ensemble, "ensemble.probability", &size);
    uint8_t *saved;
    INSIST_STATUS(INHABIT_OK, inhabit_model_save(memory, size, "{}", 2, NULL, 0, &written));
    saved = allocate(written);
    INSIST_STATUS(INHABIT_OK, inhabit_model_save(memory, size, "{}", 2, saved, written, &written));
    INSIST_STATUS(INHABIT_OK, inhabit_model_size(saved, written, 0, &again));
    INSIST(again == size);
    INSIST_STATUS(INHABIT_SPACE, inhabit_model_begin(memory, size - 8, saved, written, 0, 0));
    INSIST_STATUS(INHABIT_OK, inhabit_model_begin(memory, size, saved, written, 0, 0));
    free(memory);
    free(saved);
}

int main(int argc, char **argv) {
    bytes core, prior, ensemble, generation;
    INSIST(argc == 2);
    core = read_file(argv[1], "core.safetensors");
    prior = read_file(argv[1], "prior.safetensors");
    ensemble = read_file(argv[1], "ensemble.safetensors");
    generation = read_file(argv[1], "generation.safetensors");
    test_status_messages();
    test_networks(core);
    test_trainings(core);
    test_models(core, prior, generation);
    test_ensembles(core, ensemble);
    free(core.data);
    free(prior.data);
    free(ensemble.data);
    free(generation.data);
    puts("C: golden vectors pass");
    return 0;
}
