//! The core by itself: functions against the standard library, slices, allocation, refusals.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;

use inhabit_core::explain::explain;
use inhabit_core::lanes::Lanes;
use inhabit_core::model::{self, Model, ModelConfig, Prior};
use inhabit_core::{
    Activation, Error, Loss, Memory, Network, Optimizer, Progress, Samples, SplitMix64, Status,
    Training, TrainingConfig, math,
};

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn numbers(seed: u64, n: usize) -> impl Iterator<Item = f32> {
    let mut generator = SplitMix64::new(seed);
    (0..n).map(move |_| {
        // Any bit pattern: subnormal numbers, infinities, NaN.
        f32::from_bits(generator.next_u64() as u32)
    })
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn software_fused_multiply_add_rounds_once() {
    let mut c = numbers(3, 300_000);
    for (a, b) in numbers(1, 300_000).zip(numbers(2, 300_000)) {
        let c = c.next().unwrap();
        // Also with an addend of about the size of the product, where the rounding is delicate.
        let product = a * b;
        for c in [c, -product, product * (1.0 + f32::EPSILON), product * 0.5] {
            let (ours, exact) = (math::soft_mul_add(a, b, c), a.mul_add(b, c));
            assert!(same(ours, exact), "{a:e} * {b:e} + {c:e}: {ours:e}, not {exact:e}");
        }
    }
}

#[test]
fn software_square_root_is_correctly_rounded() {
    let mut generator = SplitMix64::new(4);
    for _ in 0..200_000 {
        let x = f64::from_bits(generator.next_u64());
        let (ours, exact) = (math::soft_sqrt(x), x.sqrt());
        assert!(ours.to_bits() == exact.to_bits() || (ours.is_nan() && exact.is_nan()), "{x:e}");
        assert_eq!(math::sqrt(x).is_nan(), exact.is_nan());
    }
    for x in numbers(5, 200_000) {
        assert!(same(math::soft_sqrt(f64::from(x)) as f32, x.sqrt()), "{x:e}");
        assert!(same(math::sqrt_f32(x), x.sqrt()), "{x:e}");
    }
}

#[test]
fn exp_and_ln_are_within_two_units_in_the_last_place() {
    let mut generator = SplitMix64::new(6);
    let units = |ours: f64, exact: f64| {
        (ours - exact).abs() / (exact.abs() * f64::EPSILON).max(f64::from_bits(1))
    };
    for _ in 0..200_000 {
        let x = (f64::from(generator.uniform()) - 0.5) * 1400.0;
        assert!(units(math::exp(x), x.exp()) <= 2.0, "exp {x}");
        let x = f64::from_bits(generator.next_u64() >> 1);
        if x.is_finite() && x > 0.0 {
            assert!(units(math::ln(x), x.ln()) <= 2.0, "ln {x:e}");
        }
        let x = 0.5 + f64::from(generator.uniform());
        assert!(units(math::ln(x), x.ln()) <= 2.0, "ln {x:e}");
    }
    assert_eq!(math::exp(f64::NEG_INFINITY), 0.0);
    assert_eq!(math::exp(f64::INFINITY), f64::INFINITY);
    assert_eq!(math::exp(0.0), 1.0);
    assert_eq!(math::ln(1.0), 0.0);
    assert_eq!(math::ln(0.0), f64::NEG_INFINITY);
    assert!(math::ln(-1.0).is_nan() && math::exp(f64::NAN).is_nan());
    assert_eq!(math::sigmoid(0.0), 0.5);
    assert_eq!(math::sigmoid(-800.0), 0.0);
    assert_eq!(math::sigmoid(800.0), 1.0);
}

#[test]
fn single_precision_functions_keep_their_bounds() {
    let mut x = -30.0f32;
    while x < 30.0 {
        let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
        assert!((f64::from(math::sigmoid_lanes(x)) - exact).abs() < 2e-7, "sigmoid {x}");
        assert!((f64::from(math::tanh_lanes(x)) - f64::from(x).tanh()).abs() < 5e-7, "tanh {x}");
        if x >= 0.0 {
            let (ours, exact) =
                (math::softplus_of_negative_lanes(x), (-f64::from(x)).exp().ln_1p());
            assert!(
                (f64::from(ours) / exact - 1.0).abs() < 5e-7,
                "softplus {x}: {ours:e} {exact:e}"
            );
        }
        x += 0.003;
    }
    for x in [f32::MIN, -1e30, 1e30, f32::MAX] {
        assert!(Loss::BceWithLogits.link(x).is_finite());
        assert!(math::tanh_lanes(x).abs() <= 1.0);
    }
    assert_eq!(f32::NAN.max(1.0f32), Lanes::max(f32::NAN, 1.0));
}

struct Problem {
    network: Network,
    x: Vec<f32>,
    y: Vec<f32>,
    initial: Vec<f32>,
}

fn problem(layers: &[usize], rows: usize) -> Problem {
    let network = Network::new(layers, Activation::Relu, Loss::BceWithLogits).unwrap();
    let mut generator = SplitMix64::new(9);
    let mut initial = vec![0.0; network.n_parameters()];
    network.initialize(1, &mut initial).unwrap();
    let x = (0..rows * network.n_inputs()).map(|_| generator.uniform()).collect();
    let y = (0..rows * network.n_outputs()).map(|_| generator.below(2) as f32).collect();
    Problem { network, x, y, initial }
}

/// Trains in slices whose lengths the iterator says; returns the bits and what the observer saw.
fn in_slices(
    problem: &Problem,
    config: &TrainingConfig,
    mut slices: impl Iterator<Item = u64>,
) -> (Vec<u32>, Vec<u32>) {
    let Problem { network, x, y, initial } = problem;
    let samples = Samples::new(network, x, y, None).unwrap();
    let mut floats = vec![0.0; Memory::floats(network)];
    let mut order = vec![0; samples.rows()];
    let mut memory = Memory { floats: &mut floats, order: &mut order };
    let mut training = Training::start(network, config, &samples, initial, &mut memory).unwrap();
    let mut epochs = Vec::new();
    let mut observe = |progress: &Progress| {
        epochs.push(progress.epoch);
        ControlFlow::Continue(())
    };
    while training.status() == Status::Running {
        let batches = slices.next().unwrap();
        training.run(&samples, None, &mut memory, batches, &mut observe).unwrap();
    }
    (training.parameters(&memory).iter().map(|p| p.to_bits()).collect(), epochs)
}

#[test]
fn any_partition_into_slices_gives_the_same_bits() {
    let mut generator = SplitMix64::new(10);
    for layers in [&[10, 16, 8, 1][..], &[4, 3, 2]] {
        for (patience, optimizer) in
            [(None, Optimizer::ADAM), (Some(2), Optimizer::Sgd { momentum: 0.9 })]
        {
            let problem = problem(layers, 70);
            let config = TrainingConfig {
                optimizer,
                patience,
                epochs: 7,
                batch_size: 16,
                learning_rate: 0.01,
                ..TrainingConfig::default()
            };
            let whole = in_slices(&problem, &config, std::iter::repeat(u64::MAX));
            for _ in 0..20 {
                let most = 1 + generator.below(12);
                let slices = std::iter::repeat_with(|| u64::from(generator.below(most + 1)));
                assert_eq!(in_slices(&problem, &config, slices), whole);
            }
        }
    }
}

#[test]
fn training_allocates_nothing() {
    for layers in [&[10, 16, 8, 1][..], &[4, 3, 2]] {
        let Problem { network, x, y, initial } = problem(layers, 70);
        let config = TrainingConfig { patience: Some(3), ..TrainingConfig::default() };
        let mut floats = vec![0.0; Memory::floats(&network)];
        let mut order = vec![0; 70];
        let before = ALLOCATIONS.with(Cell::get);
        let samples = Samples::new(&network, &x, &y, None).unwrap();
        let mut memory = Memory { floats: &mut floats, order: &mut order };
        let mut training =
            Training::start(&network, &config, &samples, &initial, &mut memory).unwrap();
        let mut observe = |_: &Progress| ControlFlow::Continue(());
        training.run(&samples, Some(&initial), &mut memory, u64::MAX, &mut observe).unwrap();
        assert_eq!(ALLOCATIONS.with(Cell::get), before);
    }
}

#[test]
fn refusals_write_nothing() {
    let Problem { network, x, y, initial } = problem(&[10, 16, 8, 1], 40);
    let samples = Samples::new(&network, &x, &y, None).unwrap();
    let config = TrainingConfig::default();
    let start = |config: &TrainingConfig, initial: &[f32], floats: &mut [f32]| {
        let mut order = [7; 40];
        let mut memory = Memory { floats, order: &mut order };
        let error = Training::start(&network, config, &samples, initial, &mut memory).unwrap_err();
        assert_eq!(order, [7; 40]);
        error
    };
    let mut floats = vec![7.0; Memory::floats(&network)];
    let wrong = TrainingConfig { learning_rate: -1.0, ..config };
    let named = |error: Error, name: &str| assert!(error.to_string().starts_with(name), "{error}");
    named(start(&wrong, &initial, &mut floats), "learning_rate");
    named(start(&config, &initial[1..], &mut floats), "parameters");
    let mut infinite = initial.clone();
    infinite[5] = f32::INFINITY;
    let error = Error::NonFinite { argument: "parameters", index: 5 };
    assert_eq!(start(&config, &infinite, &mut floats), error);
    assert!(floats.iter().all(|&v| v == 7.0));
    named(start(&config, &initial, &mut floats[1..]), "memory.floats");

    let mut output = [7.0; 4];
    let mut scratch = vec![0.0; network.many_scratch()];
    let mut infinite = x[..40].to_vec();
    infinite[39] = f32::NAN;
    assert!(network.predict(&initial, &infinite, &mut output, &mut scratch).is_err());
    assert!(network.predict(&initial, &x[..39], &mut output, &mut scratch).is_err());
    assert_eq!(output, [7.0; 4]);
}

#[test]
fn divergence_is_an_error_that_says_when() {
    let network = Network::new(&[1, 1], Activation::Identity, Loss::Mse).unwrap();
    let samples = Samples::new(&network, &[1e10, -1e10], &[1.0, 0.0], None).unwrap();
    let config = TrainingConfig {
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        learning_rate: 1.0,
        ..TrainingConfig::default()
    };
    let mut floats = vec![0.0; Memory::floats(&network)];
    let mut memory = Memory { floats: &mut floats, order: &mut [0; 2] };
    let mut training =
        Training::start(&network, &config, &samples, &[0.1, 0.0], &mut memory).unwrap();
    let mut observe = |_: &Progress| ControlFlow::Continue(());
    let outcome = training.run(&samples, None, &mut memory, u64::MAX, &mut observe);
    assert!(matches!(outcome, Err(Error::Diverged { epoch: 1..=4 })), "{outcome:?}");
}

#[test]
fn weights_too_small_for_a_mean_move_nothing() {
    let Problem { network, x, y, initial } = problem(&[10, 16, 8, 1], 40);
    let mut gradient = vec![7.0; network.n_parameters()];
    let mut scratch = vec![0.0; network.gradient_scratch()];
    let smallest = f32::from_bits(1);
    for weight in [0.0, smallest, 1e-40] {
        let weights = [weight; 40];
        let samples = Samples::new(&network, &x, &y, Some(&weights)).unwrap();
        network.gradient(&initial, &samples, &mut gradient, &mut scratch).unwrap();
        assert!(weight > smallest || gradient.iter().all(|g| *g == 0.0), "{weight}");
        // The first batches weigh next to nothing, as where old samples fade by the day.
        let faded: Vec<f32> = (0..40).map(|row| if row < 32 { weight } else { 1.0 }).collect();
        let config = TrainingConfig { shuffle: false, batch_size: 8, ..TrainingConfig::default() };
        let samples = Samples::new(&network, &x, &y, Some(&faded)).unwrap();
        let mut floats = vec![0.0; Memory::floats(&network)];
        let mut memory = Memory { floats: &mut floats, order: &mut [0; 40] };
        let mut training =
            Training::start(&network, &config, &samples, &initial, &mut memory).unwrap();
        let mut observe = |_: &Progress| ControlFlow::Continue(());
        let outcome = training.run(&samples, None, &mut memory, u64::MAX, &mut observe);
        assert_eq!(outcome, Ok(Status::Finished), "{weight}");
    }
}

#[test]
fn a_coalition_that_overflows_is_refused() {
    let network = Network::new(&[2, 1, 1], Activation::Relu, Loss::BceWithLogits).unwrap();
    let (x, background) = ([3e38, -3e38], [0.0, 0.0, -3e38, 3e38]);
    let (mut values, mut contributions) = ([0.0; 4], [7.0; 2]);
    let mut scratch = vec![0.0; network.many_scratch()];
    // Alone the numbers of each row cancel out; of x and the second row together they do not.
    let mut of = |background: &[f32]| {
        let parameters = [1.0, 1.0, 0.0, 1.0, 0.0];
        let (values, contributions) = (&mut values, &mut contributions);
        explain(&network, &parameters, &x, background, values, contributions, &mut scratch)
    };
    assert_eq!(of(&background), Err(Error::Overflow { row: 1 }));
    assert!(of(&background[..2]).is_ok());
}

#[test]
fn a_prior_of_another_network_is_refused() {
    let config = ModelConfig::new(10, 0).unwrap();
    let of = |layers| ModelConfig { network: Some(problem(layers, 1).network), ..config };
    is_refused(&config, &of(&[10, 4, 1]));
    // As many parameters as two networks of `config` have.
    is_refused(&of(&[10, 15, 28, 1]), &config);
}

/// Insists that a prior for `config` is no prior for `other`.
fn is_refused(config: &ModelConfig, other: &ModelConfig) {
    let prior = Prior::uninformed(config);
    let (mean, variance) = (prior.mean(config), prior.variance(config));
    let parameters = vec![0.0; config.n_parameters()];
    let prior = Prior::new(config, Some(&parameters), mean, variance, prior.experts()).unwrap();
    let (mut state, mut champion) = (vec![0.0; 9_999], vec![0.0; other.n_parameters()]);
    let mut challenger = champion.clone();
    let memory = model::Memory {
        state: &mut state[..other.n_state()],
        champion: &mut champion,
        challenger: &mut challenger,
    };
    let error = Model::new(other, &prior, memory).unwrap_err();
    assert!(matches!(error, Error::Shape { argument: "prior", .. }), "{error}");
}

#[test]
fn a_loss_that_overflows_for_one_batch_stops_no_training_between_two() {
    let network = Network::new(&[1, 1], Activation::Identity, Loss::Mse).unwrap();
    let samples = Samples::new(&network, &[0.0, 0.0], &[0.0, 0.0], None).unwrap();
    let config = TrainingConfig {
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        learning_rate: 0.5,
        batch_size: 1,
        track_loss: true,
        ..TrainingConfig::default()
    };
    let mut floats = vec![0.0; Memory::floats(&network)];
    let mut memory = Memory { floats: &mut floats, order: &mut [0; 2] };
    // The square of 1e20 is infinite; one step leads from there to 0.
    let mut training =
        Training::start(&network, &config, &samples, &[0.0, 1e20], &mut memory).unwrap();
    let mut observe = |_: &Progress| ControlFlow::Continue(());
    while training.run(&samples, None, &mut memory, 1, &mut observe).unwrap() == Status::Running {
        training = Training::resume(&network, &config, &training.state(), &memory).unwrap();
    }
    assert_eq!(training.parameters(&memory), [0.0, 0.0]);
}

#[test]
fn any_loss_is_better_than_none() {
    let network = Network::new(&[1, 1], Activation::Identity, Loss::BceWithLogits).unwrap();
    // The sum of the held-out row is infinite at first, and its loss no number.
    let samples = Samples::new(&network, &[0.0, 3e38], &[0.0, 1.0], None).unwrap();
    let config = TrainingConfig {
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        learning_rate: 1.0,
        l2: 1.0, // to 0 in one step
        patience: Some(5),
        validation_fraction: 0.5,
        ..TrainingConfig::default()
    };
    let mut floats = vec![0.0; Memory::floats(&network)];
    let mut memory = Memory { floats: &mut floats, order: &mut [0; 2] };
    let mut training =
        Training::start(&network, &config, &samples, &[3e38, 0.0], &mut memory).unwrap();
    training = Training::resume(&network, &config, &training.state(), &memory).unwrap();
    let mut observe = |_: &Progress| ControlFlow::Continue(());
    training.run(&samples, None, &mut memory, u64::MAX, &mut observe).unwrap();
    assert!(training.best_epoch() > 0);
    assert_eq!(training.parameters(&memory)[0], 0.0);
}

#[test]
fn shuffle_is_a_fair_permutation() {
    let mut generator = SplitMix64::new(11);
    let mut counts = [[0u32; 5]; 5];
    for _ in 0..60_000 {
        let mut items = [0, 1, 2, 3, 4];
        generator.shuffle(&mut items);
        for (place, &item) in items.iter().enumerate() {
            counts[place][item as usize] += 1;
        }
    }
    // 12,000 expected in each cell; 5 standard deviations are 490.
    assert!(counts.iter().flatten().all(|&count| count.abs_diff(12_000) < 490), "{counts:?}");
    // The first outputs for seed 1234567, as published with the generator.
    let mut generator = SplitMix64::new(1_234_567);
    assert_eq!(generator.next_u64(), 6_457_827_717_110_365_317);
    assert_eq!(generator.next_u64(), 3_203_168_211_198_807_973);
}
