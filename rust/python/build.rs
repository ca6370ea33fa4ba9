//! Passes on what PyO3 knows of the interpreter, such as whether it has a GIL.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
