/*
 * inhabit: a model that lives on the device and learns one person's habits. The C interface.
 *
 * The rules that hold for every function
 * --------------------------------------
 * Memory     The caller gives all memory; nothing is allocated, kept or freed here. A pointer is only
 *            used during the call. Blocks of `uint64_t` (trainings, models, work memory) are aligned
 *            to 8 bytes and initialised (calloc is right); their content is plain bytes without
 *            pointers, which may be copied and moved, and which every call checks before it trusts
 *            them. They are for the process, or at most the device, that wrote them: checkpoints are
 *            the format to keep.
 * Status     Every function returns an `inhabit_status`. Outputs are written only on INHABIT_OK; on any
 *            other status the caller's memory is as it was (the few exceptions say so).
 * Checked    NULL, misaligned or overlapping memory, wrong sizes, numbers that are NaN or infinite, and
 *            checkpoints of any origin are answered by a status. What no library can check is the
 *            caller's part: that a pointer leads to as many elements as the call says.
 * Threads    Functions have no state of their own. Calls on different memory may run at the same time;
 *            a training or a model belongs to one call at a time, also to one that only predicts or saves.
 * Same bits  The same calls give the same bytes on every processor, and the same as the Python package.
 * Text       UTF-8 with a length; no terminating zero is needed.
 *
 * Version 1 of the interface. A number or a name, once given, never means anything else.
 */
#ifndef INHABIT_H
#define INHABIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INHABIT_ABI_VERSION 1u

/* The version of the library; compare with INHABIT_ABI_VERSION. */
uint32_t inhabit_abi_version(void);

/* ------------------------------------------------------------------------------------------ status */

typedef int32_t inhabit_status;
enum {
    INHABIT_OK = 0,
    INHABIT_NULL = 1,        /* a pointer that must not be NULL is NULL */
    INHABIT_MISALIGNED = 2,  /* a pointer is not aligned for its type */
    INHABIT_OVERLAP = 3,     /* an output overlaps another argument */
    INHABIT_SIZE = 4,        /* a length does not fit the network or the other arguments */
    INHABIT_NON_FINITE = 5,  /* an input is NaN or infinite, or so large that a sum is */
    INHABIT_RANGE = 6,       /* a setting, a label or a weight is out of range */
    INHABIT_STATE = 7,       /* the memory does not hold what was begun in it */
    INHABIT_DIVERGED = 8,    /* training diverged */
    INHABIT_SPACE = 9,       /* the memory given is too small */
    INHABIT_CHECKPOINT = 10, /* not a whole, unaltered checkpoint of a known format */
    INHABIT_MISSING = 11     /* the checkpoint has no such tensor of this type and length */
};

/* A sentence in English about a status, also about an unknown one; static memory, never NULL. */
const char *inhabit_status_message(inhabit_status status);

/* ---------------------------------------------------------------------------------------- networks */

enum { INHABIT_IDENTITY = 0, INHABIT_RELU = 1, INHABIT_TANH = 2, INHABIT_SIGMOID = 3 };
enum { INHABIT_BCE_WITH_LOGITS = 0, INHABIT_MSE = 1 };

/*
 * The shape of a fully connected network: 2 to 16 layers of 1 to 4096 units, the input first, and at
 * most 2048 units together after the input. Its parameters are a plain array of the caller's: layer
 * after layer the weights W [n_out, n_in], row by row, then the biases b [n_out].
 */
typedef struct inhabit_network {
    uint32_t layer_count; /* sizes in `layers`, the input counted */
    uint32_t hidden;      /* INHABIT_RELU ...: the activation of every hidden layer */
    uint32_t loss;        /* INHABIT_BCE_WITH_LOGITS: predictions are probabilities */
    uint32_t layers[16];  /* for example {10, 16, 8, 1} */
} inhabit_network;

/* How many parameters a network has; 10-16-8-1 has 321. */
inhabit_status inhabit_network_parameter_count(const inhabit_network *network, size_t *count);

/* Seeded initial parameters: He et al. before ReLU, Glorot & Bengio otherwise; biases 0. */
inhabit_status inhabit_network_initialize(const inhabit_network *network, uint64_t seed,
                                          float *parameters, size_t parameter_count);

/*
 * Predictions [rows, n_out] for x [rows, n_in]. One row or many: the same bits. (Exact Shapley values
 * over ten features are one call with 1,024 rows.)
 */
inhabit_status inhabit_predict(const inhabit_network *network, const float *parameters,
                               size_t parameter_count, const float *x, size_t rows,
                               float *predictions);

/* ---------------------------------------------------------------------------------------- training */

enum { INHABIT_SGD = 0, INHABIT_ADAM = 1 };

/* How to train; get the defaults first, so that fields of later versions have a value. */
typedef struct inhabit_training_config {
    uint32_t optimizer;         /* INHABIT_SGD, INHABIT_ADAM */
    uint32_t epochs;            /* passes over the samples, at least 1 */
    uint32_t batch_size;        /* samples in a step, at least 1 */
    uint32_t patience;          /* epochs without a better held-out loss before stopping; 0: hold nothing out */
    uint32_t shuffle;           /* not 0: shuffle before each epoch */
    uint32_t track_loss;        /* not 0: report the training loss of each epoch */
    uint64_t seed;              /* of the shuffling */
    double learning_rate;       /* above 0 */
    double momentum;            /* SGD: in [0, 1) */
    double beta1;               /* Adam: in [0, 1) */
    double beta2;               /* Adam: in [0, 1) */
    double epsilon;             /* Adam: above 0 */
    double l2;                  /* adds l2 / 2 * sum (p - anchor)^2 to the loss */
    double validation_fraction; /* with patience: the last part of the samples, held out; in (0, 1) */
} inhabit_training_config;

enum {
    INHABIT_RUNNING = 0,       /* batches are left */
    INHABIT_FINISHED = 1,      /* all epochs are done */
    INHABIT_STOPPED_EARLY = 2, /* the held-out loss did not improve for `patience` epochs */
    INHABIT_CANCELLED = 3      /* not given by this interface, where the caller just stops calling */
};

/* Where a training is. */
typedef struct inhabit_training_progress {
    uint32_t status;        /* INHABIT_RUNNING ... */
    uint32_t epoch;         /* epochs done */
    uint32_t epochs;        /* epochs configured */
    uint32_t best_epoch;    /* with patience: the epoch whose parameters are kept, 0 the initial ones */
    double loss;            /* mean training loss of the last epoch; NaN before its end, or untracked */
    double validation_loss; /* mean held-out loss after the last epoch; NaN without patience */
} inhabit_training_progress;

/* 20 epochs, batches of 32, Adam with learning rate 0.001. */
inhabit_status inhabit_training_defaults(inhabit_training_config *config);

/* How many bytes the memory of a training with `rows` samples takes. */
inhabit_status inhabit_training_size(const inhabit_network *network, size_t rows, size_t *size);

/*
 * Begin a training in `memory` (`size` bytes, at least inhabit_training_size).
 *
 * x [rows, n_in]; y [rows, n_out], in [0, 1] with INHABIT_BCE_WITH_LOGITS; sample_weight [rows] or NULL
 * for ones; initial [parameter_count]: where to start. The training keeps none of the pointers: the
 * samples are given again to every step.
 */
inhabit_status inhabit_training_begin(uint64_t *memory, size_t size, const inhabit_network *network,
                                      const inhabit_training_config *config, const float *x,
                                      const float *y, const float *sample_weight, size_t rows,
                                      const float *initial, size_t parameter_count);

/*
 * Train up to `batches` batches. However a training is cut into steps, the result has the same bits; a
 * copy of `memory` between two steps is a training that goes on from there.
 *
 * x, y, sample_weight: as begun. anchor [parameter_count]: what l2 pulls towards, or NULL for zeros.
 * INHABIT_DIVERGED ends the training; its memory is then worth nothing.
 */
inhabit_status inhabit_training_step(uint64_t *memory, size_t size, const float *x, const float *y,
                                     const float *sample_weight, const float *anchor,
                                     uint64_t batches, inhabit_training_progress *progress);

/*
 * What was begun in `memory`: the network, and how many samples. For memory of unknown origin: whoever goes
 * on with it gives inhabit_training_step as many samples of this network, because a pointer says not how many
 * there are.
 */
inhabit_status inhabit_training_begun(const uint64_t *memory, size_t size, inhabit_network *network,
                                      size_t *rows);

/* The parameters to use now: with patience the best on the held-out samples, else the latest. */
inhabit_status inhabit_training_parameters(uint64_t *memory, size_t size, float *parameters,
                                           size_t parameter_count);

/* ------------------------------------------------------------------------------------- checkpoints */

enum { INHABIT_F64 = 0, INHABIT_F32 = 1, INHABIT_U32 = 2 };

/* A vector with a name: letters, digits, '.', '_' and '-'. */
typedef struct inhabit_tensor {
    const char *name;
    size_t name_length;
    uint32_t dtype; /* INHABIT_F64 ... */
    const void *data;
    size_t count; /* elements */
} inhabit_tensor;

/*
 * Write up to 63 tensors and a manifest (by convention JSON with sorted keys) as a safetensors file
 * with a checksum. The same content gives the same bytes, in C as in Python.
 *
 * `size` gets the length of the file. `bytes` NULL: only that; otherwise `capacity` must be enough.
 * INHABIT_RANGE for a bad or repeated name, INHABIT_NON_FINITE for a number.
 */
inhabit_status inhabit_checkpoint_write(const inhabit_tensor *tensors, size_t tensor_count,
                                        const char *manifest, size_t manifest_length,
                                        uint8_t *bytes, size_t capacity, size_t *size);

/* INHABIT_OK if the bytes are a whole, unaltered checkpoint. */
inhabit_status inhabit_checkpoint_verify(const uint8_t *bytes, size_t size);

/*
 * Copy a tensor out of a checkpoint. `count` gets its elements. `data` NULL: only that; otherwise
 * `capacity` elements must be enough. INHABIT_MISSING if there is none of this name and type.
 */
inhabit_status inhabit_checkpoint_tensor(const uint8_t *bytes, size_t size, const char *name,
                                         size_t name_length, uint32_t dtype, void *data,
                                         size_t capacity, size_t *count);

/* Copy the manifest out. `length` gets its bytes. `manifest` NULL: only that. */
inhabit_status inhabit_checkpoint_manifest(const uint8_t *bytes, size_t size, char *manifest,
                                           size_t capacity, size_t *length);

/* ------------------------------------------------------------------------------------------ models */

/*
 * A model is what is served: a calibrated mixture of running rates, logistic models, prior networks
 * and a personal network, for one person and one subject. It learns with every outcome.
 */

/* What a model says about one moment. */
typedef struct inhabit_prediction {
    double probability;    /* calibrated: serve this one */
    double mixture;        /* before calibration */
    double experts[16];    /* what each expert says, see `EXPERTS` in the documentation of the core */
    uint32_t expert_count; /* how many there are; the rest of `experts` is 0 */
    uint32_t promotions;   /* of a trained personal network, so far; 0: none is served */
} inhabit_prediction;

/*
 * How many bytes the memory of a model takes: of the one in `checkpoint`, or, if that is NULL, of an
 * uninformed one with `inputs` inputs.
 */
inhabit_status inhabit_model_size(const uint8_t *checkpoint, size_t checkpoint_size, uint32_t inputs,
                                  size_t *size);

/*
 * Begin a model in `memory` (`size` bytes, at least inhabit_model_size).
 *
 * From a generation: the model goes on where it was saved, in Python or here. From a prior: a person
 * without history, who starts from what other people taught. `checkpoint` NULL: without a prior, for
 * `inputs` inputs (1 to 53) of which those with a bit in `rates` are rates in [0, 1] (bit 0 is input
 * 0); otherwise `inputs` and `rates` are not looked at.
 * If this refuses, `memory` may be changed, and holds no model.
 */
inhabit_status inhabit_model_begin(uint64_t *memory, size_t size, const uint8_t *checkpoint,
                                   size_t checkpoint_size, uint32_t inputs, uint64_t rates);

/* Predict one moment: x [inputs], slot 0 to 23 (which of the day's moments it is). */
inhabit_status inhabit_model_predict(uint64_t *memory, size_t size, const float *x, size_t inputs,
                                     uint32_t slot, inhabit_prediction *prediction);

/* Take in the outcome of a moment: 1, it happened, or 0. Microseconds; the network is not retrained. */
inhabit_status inhabit_model_learn(uint64_t *memory, size_t size, const float *x, size_t inputs,
                                   uint32_t slot, uint32_t outcome);

/*
 * Take in the outcomes of moments that became known together, such as those of one day: x
 * [rows, inputs]; slot [rows]; outcome [rows]; late [rows], 1 if other outcomes were taken in since the
 * moment, as with windows that begin only after the next moment, else 0. All are judged by what was
 * said before any of them, and count as one outcome together. One row that is not late:
 * inhabit_model_learn.
 */
inhabit_status inhabit_model_learn_together(uint64_t *memory, size_t size, const float *x,
                                            size_t inputs, const uint8_t *slot,
                                            const uint8_t *outcome, const uint8_t *late,
                                            size_t rows);

/* How many bytes of work memory inhabit_model_walk takes for a history of `rows` moments. */
inhabit_status inhabit_model_walk_size(const uint64_t *memory, size_t size, size_t rows,
                                       size_t *work_size);

/*
 * Train: walk a model that has just been begun through its person's history, learning what may be
 * known at each moment, retraining the personal network, then predicting the moment.
 *
 * The history, in time order: x [rows, inputs]; label [rows], 1, 0 or -1 for unknown; slot [rows];
 * learn_at [rows], the first row at whose prediction the label may be used: later than its own, `rows`
 * for one that became known after the last prediction.
 * Rows `from` to `to` (not included) are walked; slices that follow each other, from 0 to `rows`, give
 * the bits of one walk, so a background task can stop between any two. probability [rows]: gets the
 * predictions of these rows, all made before their outcomes.
 * If this returns INHABIT_DIVERGED, the model and the work memory are worth nothing; begin again.
 * `inputs` are those of the model. Of one from a file of unknown origin, ask inhabit_model_predict first: it
 * answers INHABIT_SIZE to any other number.
 */
inhabit_status inhabit_model_walk(uint64_t *memory, size_t size, const float *x, const int8_t *label,
                                  const uint8_t *slot, const uint32_t *learn_at, size_t rows,
                                  size_t from, size_t to, double *probability, uint64_t *work,
                                  size_t work_size);

/*
 * Write a model as a checkpoint that Python and this library read. `written` gets the length of the
 * file. `bytes` NULL: only that; otherwise `capacity` must be enough.
 */
inhabit_status inhabit_model_save(uint64_t *memory, size_t size, const char *manifest,
                                  size_t manifest_length, uint8_t *bytes, size_t capacity,
                                  size_t *written);

#ifdef __cplusplus
}
#endif

#endif /* INHABIT_H */
