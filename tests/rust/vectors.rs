//! The golden vectors, and what they are read and resumed with.

use std::ops::ControlFlow;

use inhabit_core::{
    Activation, Loss, Memory, Network, Optimizer, Samples, Status, Training, TrainingConfig,
    checkpoint::{self, Checkpoint, Dtype, Elements, Fault, Tensor},
    generation::{self, Generation},
    model::{self, Model, ModelConfig, N_EXPERTS, Prior, Scratch},
    training,
    walk_forward::{Forecasts, History, Workspace, walk},
};

fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");
    std::fs::read([folder, name].concat()).unwrap()
}

/// The tensors of a file, as vectors.
struct Vectors(Vec<u8>);

impl Vectors {
    fn core() -> Self {
        Self(file("core.safetensors"))
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let view = Checkpoint::open(&self.0).unwrap().expect(name, Dtype::F32).unwrap();
        let mut values = vec![0.0; view.len()];
        view.copy_f32(&mut values).unwrap();
        values
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        let view = Checkpoint::open(&self.0).unwrap().expect(name, Dtype::F64).unwrap();
        let mut values = vec![0.0; view.len()];
        view.copy_f64(&mut values).unwrap();
        values
    }

    fn u32(&self, name: &str) -> Vec<u32> {
        let view = Checkpoint::open(&self.0).unwrap().expect(name, Dtype::U32).unwrap();
        let mut values = vec![0; view.len()];
        view.copy_u32(&mut values).unwrap();
        values
    }

    /// Inputs and targets of the samples with a known label.
    fn samples(&self) -> (Vec<f32>, Vec<f32>) {
        let (x, label) = (self.f32("history.x"), self.u32("history.label"));
        let known = || x.chunks(10).zip(&label).filter(|(_, label)| **label > 0);
        let inputs = known().flat_map(|(row, _)| row.iter().copied()).collect();
        (inputs, known().map(|(_, label)| if *label == 2 { 1.0 } else { 0.0 }).collect())
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn network(hidden: Activation) -> Network {
    Network::new(&[10, 16, 8, 1], hidden, Loss::BceWithLogits).unwrap()
}

#[test]
fn networks_give_the_golden_bits() {
    let vectors = Vectors::core();
    let x = vectors.f32("history.x");
    let kinds = [
        ("identity", Activation::Identity),
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
    ];
    for (seed, (name, hidden)) in (0..).zip(kinds) {
        let network = network(hidden);
        let mut parameters = vec![0.0; network.n_parameters()];
        network.initialize(seed, &mut parameters).unwrap();
        assert_eq!(bits(&parameters), bits(&vectors.f32(&format!("network.{name}.parameters"))));
        let mut output = vec![0.0; x.len() / 10];
        let mut scratch = vec![0.0; network.n_units()];
        network.predict(&parameters, &x, &mut output, &mut scratch).unwrap();
        assert_eq!(bits(&output), bits(&vectors.f32(&format!("network.{name}.predictions"))));
    }
}

#[test]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn trainings_resumed_from_numbers_give_the_golden_bits() {
    let vectors = Vectors::core();
    let network = network(Activation::Relu);
    let (x, y) = vectors.samples();
    let samples = Samples::new(&network, &x, &y, None).unwrap();
    let initial = vectors.f32("network.relu.parameters");
    for name in ["sgd", "adam", "ordered", "patience"] {
        let numbers = vectors.f64(&format!("training.{name}.config"));
        let (momentum, patience) = (numbers[8], numbers[3] as u32);
        let config = TrainingConfig {
            optimizer: if numbers[0] == 0.0 {
                Optimizer::Sgd { momentum }
            } else {
                Optimizer::Adam { beta1: numbers[9], beta2: numbers[10], epsilon: numbers[11] }
            },
            epochs: numbers[1] as u32,
            batch_size: numbers[2] as u32,
            patience: (patience > 0).then_some(patience),
            shuffle: numbers[4] != 0.0,
            seed: numbers[6] as u64,
            learning_rate: numbers[7],
            l2: numbers[12],
            validation_fraction: numbers[13],
            track_loss: false,
        };
        let mut floats = vec![0.0; Memory::floats(&network)];
        let mut order = vec![0; samples.rows()];
        let mut memory = Memory { floats: &mut floats, order: &mut order };
        let mut training =
            Training::start(&network, &config, &samples, &initial, &mut memory).unwrap();
        while training.status() == Status::Running {
            let state = training.state();
            training = Training::resume(&network, &config, &state, &memory).unwrap();
            assert_eq!(training.state(), state);
            let mut go_on = |_: &training::Progress| ControlFlow::Continue(());
            training.run(&samples, None, &mut memory, 3, &mut go_on).unwrap();
        }
        let expected = vectors.f32(&format!("training.{name}.parameters"));
        assert_eq!(bits(training.parameters(&memory)), bits(&expected), "{name}");
    }
}

#[test]
fn numbers_that_no_training_leads_to_are_refused() {
    let network = network(Activation::Relu);
    let config = TrainingConfig { patience: Some(2), ..TrainingConfig::default() };
    let (x, y) = ([0.5; 50], [0.0, 1.0, 0.0, 1.0, 1.0]);
    let samples = Samples::new(&network, &x, &y, None).unwrap();
    let mut floats = vec![0.0; Memory::floats(&network)];
    let mut memory = Memory { floats: &mut floats, order: &mut [0; 5] };
    let training = Training::start(&network, &config, &samples, &[0.1; 321], &mut memory).unwrap();
    let good = training.state();
    for index in (0..good.len()).filter(|index| *index != 1) {
        let nan = f64::NAN.to_bits();
        for wrong in [u64::MAX, nan, 1 << 40] {
            let mut state = good;
            state[index] = wrong;
            let resumed = Training::resume(&network, &config, &state, &memory);
            // A tiny float; and the sum of losses, which may overflow.
            let harmless = index == 7 || wrong == 1 << 40 && [2, 3, 8, 10].contains(&index);
            assert_eq!(resumed.is_ok(), harmless, "word {index} = {wrong:x}");
        }
    }
    memory.order[0] = 5;
    assert!(Training::resume(&network, &config, &good, &memory).is_err());
}

/// A walk in slices, from the prior file `name`; the file it saves.
fn walked(name: &str, slices: &[usize]) -> (Vec<f64>, Vec<u8>) {
    let vectors = Vectors::core();
    let (x, learn_at) = (vectors.f32("history.x"), vectors.u32("history.learn_at"));
    let label: Vec<_> = vectors.u32("history.label").iter().map(|l| *l as i8 - 1).collect();
    let slot: Vec<_> = vectors.u32("history.slot").iter().map(|s| *s as u8).collect();
    let history = History { x: &x, label: &label, slot: &slot, learn_at: &learn_at };
    let n = label.len();

    let stored = file(name);
    let stored = Generation::open(&stored).unwrap();
    let config = *stored.config();
    let mut prior_network = vec![0.0; stored.members() * config.n_parameters()];
    let prior = stored.prior(&mut prior_network).unwrap();
    let mut state = vec![0.0; config.n_state()];
    let mut champion = vec![0.0; config.n_parameters()];
    let mut challenger = champion.clone();
    let mut memory =
        model::Memory { state: &mut state, champion: &mut champion, challenger: &mut challenger };
    assert!(!stored.memory(&mut memory).unwrap());
    let mut model = Model::new(&config, &prior, memory).unwrap();
    let mut probability = vec![0.0; n];
    let mut from = 0;
    for &to in slices {
        let mut forecasts = Forecasts {
            probability: &mut probability,
            experts: &mut vec![0.0; n * N_EXPERTS],
            promotions: &mut vec![0; n],
        };
        let mut workspace = Workspace {
            order: &mut vec![0; 2 * n + 1],
            inputs: &mut vec![0.0; n * config.n_inputs],
            outcomes: &mut vec![0.0; n],
            parts: &mut vec![0.0; n],
            scratch: Scratch {
                floats: &mut vec![0.0; config.network.as_ref().map_or(0, Memory::floats)],
                order: &mut vec![0; n], // the window is longer
            },
        };
        walk(&mut model, &history, from..to, &mut forecasts, &mut workspace).unwrap();
        from = to;
    }
    let golden = file("generation.safetensors");
    let manifest: String = Checkpoint::open(&golden).unwrap().manifest().chars().collect();
    let mut bytes = vec![0; generation::len(&model, &manifest).unwrap()];
    generation::write(&model, &manifest, &mut bytes).unwrap();
    (probability, bytes)
}

#[test]
fn walks_in_any_slices_give_the_golden_generation() {
    for slices in [&[200][..], &[1, 2, 77, 77, 199, 200], &[0, 100, 200, 200]] {
        let (probability, bytes) = walked("prior.safetensors", slices);
        assert_eq!(probability, Vectors::core().f64("walk.probability"), "{slices:?}");
        assert_eq!(bytes, file("generation.safetensors"), "{slices:?}");
    }
}

#[test]
fn walks_from_several_prior_networks_and_keeps_them() {
    let (probability, bytes) = walked("ensemble.safetensors", &[77, 200]);
    assert_eq!(probability, Vectors::core().f64("ensemble.probability"));
    let (saved, prior) = (Generation::open(&bytes).unwrap(), file("ensemble.safetensors"));
    let prior = Generation::open(&prior).unwrap();
    assert_eq!((saved.members(), prior.members()), (3, 3));
    let networks = [saved, prior].map(|generation| {
        let mut network = vec![0.0; 3 * 321];
        generation.prior(&mut network).unwrap();
        network
    });
    assert_eq!(networks[0], networks[1]);
}

/// The fault of a file with the tensors of a prior, among them this `prior.network`.
fn fault_of_networks(config: &ModelConfig, network: Elements<'_>) -> Option<Fault> {
    let (prior, numbers) = (Prior::uninformed(config), generation::encode_config(config));
    let tensors = [
        Tensor { name: "model.config", elements: Elements::F64(&numbers) },
        Tensor { name: "prior.experts", elements: Elements::F64(prior.experts()) },
        Tensor { name: "prior.mean", elements: Elements::F64(prior.mean(config)) },
        Tensor { name: "prior.network", elements: network },
        Tensor { name: "prior.variance", elements: Elements::F64(prior.variance(config)) },
    ];
    let mut bytes = vec![0; checkpoint::len(&tensors, "{}").unwrap()];
    checkpoint::write(&tensors, "{}", &mut bytes).unwrap();
    Generation::open(&bytes).err()
}

#[test]
fn a_file_with_other_than_whole_networks_lacks_the_tensor() {
    let config = ModelConfig::new(10, 0b11).unwrap();
    let without = ModelConfig { network: None, ..config };
    for (members, fault) in
        [(1, None), (16, None), (0, Some(Fault::Missing)), (17, Some(Fault::Missing))]
    {
        let numbers = vec![0.1; members * config.n_parameters()];
        assert_eq!(fault_of_networks(&config, Elements::F32(&numbers)), fault, "{members}");
    }
    let numbers = vec![0.1; config.n_parameters() + 1];
    assert_eq!(fault_of_networks(&config, Elements::F32(&numbers)), Some(Fault::Missing));
    assert_eq!(fault_of_networks(&without, Elements::F32(&numbers)), Some(Fault::Missing));
    let wide = vec![0.1; config.n_parameters()];
    assert_eq!(fault_of_networks(&config, Elements::F64(&wide)), Some(Fault::Missing));
    assert_eq!(fault_of_networks(&without, Elements::F64(&[])), Some(Fault::Missing));
}

#[test]
fn configurations_survive_as_numbers_and_nothing_else_is_one() {
    let mut config = ModelConfig::new(12, 0b101).unwrap();
    config.seed = u64::MAX - 1;
    config.training.seed = 1 << 63;
    config.training.optimizer = Optimizer::ADAM;
    let numbers = generation::encode_config(&config);
    assert_eq!(generation::decode_config(&numbers), Ok(config));
    config.network = None;
    let without = generation::encode_config(&config);
    assert_eq!(generation::decode_config(&without), Ok(config));
    for index in 0..numbers.len() {
        for wrong in [f64::NAN, f64::INFINITY, -1.0, 0.5, 1e300, 4_294_967_296.0] {
            let mut numbers = numbers;
            numbers[index] = wrong;
            if let Ok(decoded) = generation::decode_config(&numbers) {
                assert_eq!(generation::encode_config(&decoded), numbers);
            }
        }
    }
}

#[test]
fn a_prior_reads_back_bit_for_bit() {
    let config = ModelConfig::new(10, 0b11).unwrap();
    let prior = Prior::uninformed(&config);
    let again =
        Prior::new(&config, None, prior.mean(&config), prior.variance(&config), prior.experts());
    assert_eq!(again.unwrap().experts().map(f64::to_bits), prior.experts().map(f64::to_bits));
}
