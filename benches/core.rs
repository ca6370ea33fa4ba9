//! Time of the core's kernels on every instruction set of the machine: `cargo bench -p inhabit-core`.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inhabit_core::simd::{self, InstructionSet};
use inhabit_core::{
    Memory, Network, Optimizer, Predictor, Samples, SplitMix64, Training, TrainingConfig, explain,
};

fn paths() -> impl Iterator<Item = InstructionSet> {
    use InstructionSet::{Avx2, Avx512, Neon, Portable};
    [Portable, Neon, Avx2, Avx512].into_iter().filter(|&path| simd::force(path))
}

fn data(rows: usize) -> (Network, Vec<f32>, Vec<f32>, Vec<f32>) {
    let network = Network::default();
    let mut parameters = vec![0.0; network.n_parameters()];
    network.initialize(1, &mut parameters).expect("the right length");
    let mut generator = SplitMix64::new(1);
    let x: Vec<f32> = (0..rows * 10).map(|_| generator.uniform()).collect();
    let y = x.chunks(10).map(|row| f32::from(row[0] > generator.uniform())).collect();
    (network, parameters, x, y)
}

fn predict(criterion: &mut Criterion) {
    let (network, parameters, x, _) = data(4096);
    let mut group = criterion.benchmark_group("predict");
    for path in paths() {
        let name = format!("{path:?}");
        let predictor = Predictor::new(&network, &parameters).expect("finite").expect("default");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one", &name), |bencher| {
            bencher.iter(|| predictor.predict(black_box(&x[..10])));
        });
        let mut output = vec![0.0; 4096];
        let mut scratch = vec![0.0; network.many_scratch()];
        group.throughput(Throughput::Elements(4096));
        group.bench_function(BenchmarkId::new("4096 rows", &name), |bencher| {
            bencher.iter(|| network.predict_once(&parameters, &x, &mut output, &mut scratch));
        });
        let (mut values, mut reasons) = (vec![0.0; 1024], [0.0; 10]);
        group.throughput(Throughput::Elements(102_400));
        group.bench_function(BenchmarkId::new("explain, 100 background rows", &name), |bencher| {
            let (x, background) = (&x[..10], &x[10..1010]);
            bencher.iter(|| {
                let (values, scratch) = (&mut values, &mut scratch);
                explain::explain(
                    &network,
                    &parameters,
                    x,
                    background,
                    values,
                    &mut reasons,
                    scratch,
                )
            });
        });
    }
    group.finish();
}

fn train(criterion: &mut Criterion) {
    let (network, parameters, x, y) = data(365);
    let samples = Samples::new(&network, &x, &y, None).expect("good samples");
    let mut floats = vec![0.0; Memory::floats(&network)];
    let mut order = vec![0; 365];
    let mut group = criterion.benchmark_group("train 365 rows, 20 epochs");
    for path in paths() {
        for (name, optimizer) in
            [("adam", Optimizer::ADAM), ("sgd", Optimizer::Sgd { momentum: 0.0 })]
        {
            let config = TrainingConfig { optimizer, ..TrainingConfig::default() };
            group.bench_function(BenchmarkId::new(name, format!("{path:?}")), |bencher| {
                bencher.iter(|| {
                    let mut memory = Memory { floats: &mut floats, order: &mut order };
                    let mut training =
                        Training::start(&network, &config, &samples, &parameters, &mut memory)?;
                    let mut observe = |_: &inhabit_core::Progress| ControlFlow::Continue(());
                    training.run(&samples, None, &mut memory, u64::MAX, &mut observe)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, predict, train);
criterion_main!(benches);
