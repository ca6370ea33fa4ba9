//! Every path the machine has gives the same bits as the portable one.

use std::ops::ControlFlow;
use std::sync::Mutex;

use inhabit_core::simd::{self, InstructionSet};
use inhabit_core::{
    Activation, Error, Loss, Memory, Network, Optimizer, Predictor, Samples, SplitMix64, Training,
    TrainingConfig, explain, persons,
};

/// The selection is one for the whole process.
static SELECTION: Mutex<()> = Mutex::new(());

const PATHS: [InstructionSet; 4] =
    [InstructionSet::Portable, InstructionSet::Neon, InstructionSet::Avx2, InstructionSet::Avx512];

/// Runs `work` on every path and returns the results of those the machine has, the portable first.
fn on_every_path<T>(work: impl Fn() -> T) -> Vec<(InstructionSet, T)> {
    let guard = SELECTION.lock().unwrap();
    let best = simd::instruction_set();
    let results =
        PATHS.into_iter().filter(|&path| simd::force(path)).map(|p| (p, work())).collect();
    assert!(simd::force(best));
    drop(guard);
    results
}

fn assert_same<T: PartialEq + std::fmt::Debug>(what: &str, work: impl Fn() -> T) {
    let results = on_every_path(work);
    for (path, result) in &results[1..] {
        assert!(*result == results[0].1, "{what}: {path:?} differs from {:?}", results[0].0);
    }
}

fn uniform(generator: &mut SplitMix64, n: usize) -> Vec<f32> {
    (0..n).map(|_| 2.0 * generator.uniform() - 1.0).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn shapes() -> Vec<Network> {
    let mut shapes = Vec::new();
    for (layers, hidden, loss) in [
        (&[10, 16, 8, 1][..], Activation::Relu, Loss::BceWithLogits),
        (&[10, 16, 8, 1][..], Activation::Tanh, Loss::BceWithLogits),
        (&[10, 16, 8, 1][..], Activation::Tanh, Loss::Mse),
        (&[10, 16, 8, 1][..], Activation::Sigmoid, Loss::BceWithLogits),
        (&[21, 16, 8, 1], Activation::Relu, Loss::BceWithLogits),
        (&[9, 16, 8, 1], Activation::Tanh, Loss::BceWithLogits),
        (&[12, 7, 16, 1], Activation::Relu, Loss::BceWithLogits),
        (&[5, 16, 9, 1], Activation::Tanh, Loss::BceWithLogits),
        (&[2, 1, 3, 1], Activation::Relu, Loss::BceWithLogits),
        (&[8, 17, 8, 1], Activation::Relu, Loss::BceWithLogits),
        (&[3, 5, 2], Activation::Relu, Loss::Mse),
        (&[17, 33, 9, 4, 3], Activation::Tanh, Loss::BceWithLogits),
        (&[1, 1], Activation::Identity, Loss::BceWithLogits),
    ] {
        shapes.push(Network::new(layers, hidden, loss).unwrap());
    }
    shapes
}

#[test]
fn predictions() {
    let mut generator = SplitMix64::new(1);
    for network in shapes() {
        for rows in [0, 1, 7, 16, 33, 100] {
            let mut parameters = vec![0.0; network.n_parameters()];
            network.initialize(rows as u64, &mut parameters).unwrap();
            let x = uniform(&mut generator, rows * network.n_inputs());
            assert_same(&format!("predict {rows} rows of {network:?}"), || {
                let mut output = vec![0.0; rows * network.n_outputs()];
                let mut scratch = vec![0.0; network.many_scratch()];
                network.predict(&parameters, &x, &mut output, &mut scratch).unwrap();
                // One row at a time, with the least scratch.
                let mut single = vec![0.0; rows * network.n_outputs()];
                let mut scratch = vec![0.0; network.n_units()];
                for (x, out) in
                    x.chunks(network.n_inputs()).zip(single.chunks_mut(network.n_outputs()))
                {
                    network.predict(&parameters, x, out, &mut scratch).unwrap();
                }
                assert_eq!(bits(&output), bits(&single));
                bits(&output)
            });
        }
    }
}

#[test]
fn gradients() {
    let mut generator = SplitMix64::new(2);
    for network in shapes() {
        let rows = 45;
        let mut parameters = vec![0.0; network.n_parameters()];
        network.initialize(3, &mut parameters).unwrap();
        let x = uniform(&mut generator, rows * network.n_inputs());
        let y: Vec<f32> = (0..rows * network.n_outputs()).map(|_| generator.uniform()).collect();
        let weight: Vec<f32> = (0..rows).map(|_| generator.uniform()).collect();
        assert_same(&format!("gradient of {network:?}"), || {
            let samples = Samples::new(&network, &x, &y, Some(&weight)).unwrap();
            let mut gradient = vec![0.0; network.n_parameters()];
            let mut scratch = vec![0.0; network.gradient_scratch()];
            let loss =
                network.gradient(&parameters, &samples, &mut gradient, &mut scratch).unwrap();
            let mean = network.mean_loss(&parameters, &samples, &mut scratch).unwrap();
            assert!((loss - mean).abs() < 1e-9);
            (loss.to_bits(), mean.to_bits(), bits(&gradient))
        });
    }
}

#[test]
fn trainings() {
    let sgd = |momentum| Optimizer::Sgd { momentum };
    let mut generator = SplitMix64::new(4);
    for network in shapes() {
        let rows = 75;
        let mut initial = vec![0.0; network.n_parameters()];
        network.initialize(5, &mut initial).unwrap();
        let x = uniform(&mut generator, rows * network.n_inputs());
        let y: Vec<f32> =
            (0..rows * network.n_outputs()).map(|_| generator.below(2) as f32).collect();
        let weight: Vec<f32> = (0..rows).map(|_| generator.uniform()).collect();
        for (optimizer, batch_size, l2, patience, weighted) in [
            (Optimizer::ADAM, 32, 0.0, None, false),
            (Optimizer::ADAM, 33, 0.01, Some(2), true),
            (sgd(0.0), 7, 0.0, None, true),
            (sgd(0.9), 100, 0.1, None, false),
        ] {
            let config = TrainingConfig {
                optimizer,
                batch_size,
                l2,
                patience,
                learning_rate: 0.01,
                epochs: 6,
                track_loss: true,
                ..TrainingConfig::default()
            };
            assert_same(&format!("training of {network:?} with {config:?}"), || {
                let samples =
                    Samples::new(&network, &x, &y, weighted.then_some(&weight[..])).unwrap();
                let mut floats = vec![f32::NAN; Memory::floats(&network)];
                let mut order = vec![u32::MAX; rows];
                let mut memory = Memory { floats: &mut floats, order: &mut order };
                let mut training =
                    Training::start(&network, &config, &samples, &initial, &mut memory).unwrap();
                let mut losses = Vec::new();
                let mut observe = |p: &inhabit_core::Progress| {
                    losses.push((p.loss.to_bits(), p.validation_loss.to_bits()));
                    ControlFlow::Continue(())
                };
                training
                    .run(&samples, Some(&initial), &mut memory, u64::MAX, &mut observe)
                    .unwrap();
                (bits(training.parameters(&memory)), losses, training.epoch())
            });
        }
    }
}

#[test]
fn reading_rows_once() {
    let mut generator = SplitMix64::new(6);
    for network in shapes() {
        let mut parameters = vec![0.0; network.n_parameters()];
        network.initialize(1, &mut parameters).unwrap();
        let x = uniform(&mut generator, 50 * network.n_inputs());
        assert_same(&format!("predict_once of {network:?}"), || {
            let mut scratch = vec![0.0; network.many_scratch()];
            let mut checked = vec![0.0; 50 * network.n_outputs()];
            let mut once = checked.clone();
            network.predict(&parameters, &x, &mut checked, &mut scratch).unwrap();
            network.predict_once(&parameters, &x, &mut once, &mut scratch).unwrap();
            assert_eq!(bits(&checked), bits(&once));
            // A NaN is found wherever it is.
            for index in [0, x.len() / 2, x.len() - 1] {
                let mut x = x.clone();
                x[index] = f32::NAN;
                let error = network.predict_once(&parameters, &x, &mut once, &mut scratch);
                assert_eq!(error, Err(Error::NonFinite { argument: "x", index }));
            }
            // So is a row whose sums are not finite, and no other, however large.
            let n = network.n_inputs();
            for (size, is_finite) in [(1e30, true), (f32::MAX, false)] {
                let mut x = x.clone();
                x[49 * n..].fill(size);
                let expected = network.predict(&parameters, &x, &mut checked, &mut scratch);
                let answer = network.predict_once(&parameters, &x, &mut once, &mut scratch);
                assert_eq!(answer, expected);
                if is_finite || n > 1 {
                    assert_eq!(
                        answer,
                        if is_finite { Ok(()) } else { Err(Error::Overflow { row: 49 }) }
                    );
                }
            }
            bits(&checked)
        });
    }
}

#[test]
fn one_prediction() {
    for hidden in [Activation::Relu, Activation::Tanh] {
        one_prediction_of(&Network::new(&[10, 16, 8, 1], hidden, Loss::BceWithLogits).unwrap());
    }
    let other = Network::new(&[10, 16, 8, 1], Activation::Relu, Loss::Mse).unwrap();
    assert!(Predictor::new(&other, &[0.0; 321]).unwrap().is_none());
}

fn one_prediction_of(network: &Network) {
    let mut parameters = vec![0.0; network.n_parameters()];
    network.initialize(1, &mut parameters).unwrap();
    let predictor = Predictor::new(network, &parameters).unwrap().unwrap();
    assert_same("predictor", || {
        let mut generator = SplitMix64::new(7);
        for _ in 0..100 {
            let mut x = uniform(&mut generator, 10);
            let mut output = [0.0];
            let mut scratch = vec![0.0; network.n_units()];
            network.predict(&parameters, &x, &mut output, &mut scratch).unwrap();
            assert_eq!(predictor.predict(&x).unwrap().to_bits(), output[0].to_bits());
            x[9] = f32::NEG_INFINITY;
            let error = Error::NonFinite { argument: "x", index: 9 };
            assert_eq!(predictor.predict(&x), Err(error));
            // Larger than can be trusted: looked at closely, with the same answer.
            for exponent in 50..128 {
                x.fill(0.7 * f32::powi(2.0, exponent));
                let expected = network.predict(&parameters, &x, &mut output, &mut scratch);
                assert_eq!(predictor.predict(&x), expected.map(|()| output[0]));
            }
        }
    });
    // Weights that overflow with any input.
    parameters.fill(1e30);
    let largest = Predictor::new(network, &parameters).unwrap().unwrap();
    for x in [0.0, f32::MIN_POSITIVE, 1e-25, 1.0] {
        let (x, mut output) = ([x; 10], [0.0]);
        let expected = network.predict(&parameters, &x, &mut output, &mut [0.0; 25]);
        assert_eq!(largest.predict(&x), expected.map(|()| output[0]));
    }
    let error = Error::Shape { argument: "x", expected: 10, actual: 11 };
    assert_eq!(predictor.predict(&[0.0; 11]), Err(error));
}

#[test]
fn reasons() {
    let mut generator = SplitMix64::new(8);
    for layers in [&[10, 16, 8, 1][..], &[1, 1], &[3, 4, 1], &[6, 5, 1]] {
        let network = Network::new(layers, Activation::Tanh, Loss::BceWithLogits).unwrap();
        let mut parameters = vec![0.0; network.n_parameters()];
        network.initialize(1, &mut parameters).unwrap();
        let n = network.n_inputs();
        let (x, background) = (uniform(&mut generator, n), uniform(&mut generator, 3 * n));
        assert_same(&format!("reasons of {network:?}"), || {
            let mut values = vec![0.0; explain::coalitions(&network)];
            let mut reasons = vec![0.0; n];
            let mut scratch = vec![0.0; network.many_scratch()];
            let (values, scratch) = (&mut values[..], &mut scratch[..]);
            let mean = explain::explain(
                &network,
                &parameters,
                &x,
                &background,
                values,
                &mut reasons,
                scratch,
            );
            (mean.unwrap().to_bits(), reasons.iter().map(|r| r.to_bits()).collect::<Vec<_>>())
        });
    }
}

#[test]
fn persons_side_by_side() {
    let mut generator = SplitMix64::new(12);
    for network in shapes() {
        let rows = 43;
        let mut initial = vec![0.0; network.n_parameters()];
        network.initialize(5, &mut initial).unwrap();
        let most = 16;
        let x: Vec<_> =
            (0..most).map(|_| uniform(&mut generator, rows * network.n_inputs())).collect();
        let y: Vec<Vec<f32>> = (0..most)
            .map(|_| (0..rows * network.n_outputs()).map(|_| generator.below(2) as f32).collect())
            .collect();
        for (optimizer, l2) in [(Optimizer::ADAM, 0.01), (Optimizer::Sgd { momentum: 0.5 }, 0.0)] {
            let config = TrainingConfig {
                optimizer,
                l2,
                learning_rate: 0.01,
                epochs: 3,
                batch_size: 18,
                ..TrainingConfig::default()
            };
            assert_same(&format!("persons with {network:?}, {config:?}"), || {
                let samples: Vec<_> = x
                    .iter()
                    .zip(&y)
                    .map(|(x, y)| Samples::new(&network, x, y, None).unwrap())
                    .collect();
                let n = network.n_parameters();
                let mut together = vec![0.0; most * n];
                let mut floats = vec![f32::NAN; persons::floats(&network, rows)];
                let mut order = vec![0; rows];
                let lanes = persons::lanes();
                // Not a multiple of the lanes: the last group is smaller.
                let (people, together) = (&samples[..most - 1], &mut together[..(most - 1) * n]);
                for (people, parameters) in people.chunks(lanes).zip(together.chunks_mut(lanes * n))
                {
                    let mut memory = Memory { floats: &mut floats, order: &mut order };
                    let anchor = Some(&initial[..]);
                    persons::train(
                        &network,
                        &config,
                        people,
                        anchor,
                        &initial,
                        parameters,
                        &mut memory,
                    )
                    .unwrap();
                }
                let mut floats = vec![0.0; Memory::floats(&network)];
                for (samples, parameters) in samples.iter().zip(together.chunks(n)) {
                    let mut memory = Memory { floats: &mut floats, order: &mut order };
                    let mut training =
                        Training::start(&network, &config, samples, &initial, &mut memory).unwrap();
                    let mut observe = |_: &inhabit_core::Progress| ControlFlow::Continue(());
                    training
                        .run(samples, Some(&initial), &mut memory, u64::MAX, &mut observe)
                        .unwrap();
                    assert_eq!(bits(training.parameters(&memory)), bits(parameters));
                }
                bits(together)
            });
        }
    }
}
