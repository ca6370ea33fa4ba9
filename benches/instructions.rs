//! Work to count instructions of: `valgrind --tool=callgrind --toggle-collect='*::counted::*'`.
//!
//! Exact where time is noise. `test_instructions.py` runs it and compares with what is on record.

use std::ops::ControlFlow;

use inhabit_core::simd::{self, InstructionSet};
use inhabit_core::{
    Memory, Network, Optimizer, Predictor, Samples, SplitMix64, Training, TrainingConfig, explain,
};

const ROWS: usize = 365;

mod counted {
    /// Instructions are counted in here and nowhere else.
    #[inline(never)]
    pub fn work(work: impl FnOnce()) {
        work();
    }
}

fn train(network: &Network, x: &[f32], y: &[f32], parameters: &[f32], optimizer: Optimizer) {
    let config = TrainingConfig { optimizer, epochs: 20, ..TrainingConfig::default() };
    let samples = Samples::new(network, x, y, None).expect("good samples");
    let mut floats = vec![0.0; Memory::floats(network)];
    let mut order = vec![0; ROWS];
    let mut memory = Memory { floats: &mut floats, order: &mut order };
    counted::work(|| {
        let mut training = Training::start(network, &config, &samples, parameters, &mut memory)
            .expect("good arguments");
        training
            .run(&samples, None, &mut memory, u64::MAX, &mut |_| ControlFlow::Continue(()))
            .expect("a finite loss");
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (kernel, path) = (arguments.next(), arguments.next());
    let path = match path.as_deref() {
        Some("portable") => InstructionSet::Portable,
        Some("avx2") => InstructionSet::Avx2,
        other => panic!("expected portable or avx2, got {other:?}"),
    };
    assert!(simd::force(path), "the machine does not have {path:?}");
    let network = Network::default();
    let mut parameters = vec![0.0; network.n_parameters()];
    network.initialize(1, &mut parameters).expect("the right length");
    let mut generator = SplitMix64::new(1);
    let x: Vec<f32> = (0..ROWS * 10).map(|_| generator.uniform()).collect();
    let y: Vec<f32> = x.chunks(10).map(|row| f32::from(row[0] > 0.5)).collect();
    let mut scratch = vec![0.0; network.many_scratch()];
    match kernel.as_deref() {
        Some("predict") => {
            let predictor = Predictor::new(&network, &parameters).expect("finite parameters");
            let predictor = predictor.expect("the default shape");
            counted::work(|| assert!(predictor.predict(&x[..10]).is_ok()));
        }
        Some("predict_many") => {
            let mut output = vec![0.0; ROWS];
            counted::work(|| {
                network.predict_once(&parameters, &x, &mut output, &mut scratch).expect("finite x");
            });
        }
        Some("train_adam") => train(&network, &x, &y, &parameters, Optimizer::ADAM),
        Some("train_sgd") => {
            train(&network, &x, &y, &parameters, Optimizer::Sgd { momentum: 0.0 });
        }
        Some("explain") => {
            let (mut values, mut reasons) = (vec![0.0; 1024], [0.0; 10]);
            counted::work(|| {
                let (x, background) = x.split_at(10);
                let background = &background[..100];
                explain::explain(
                    &network,
                    &parameters,
                    x,
                    background,
                    &mut values,
                    &mut reasons,
                    &mut scratch,
                )
                .expect("finite x");
            });
        }
        other => panic!("no such kernel: {other:?}"),
    }
}
