//! Whole numbers at the door: what is outside its range is an error that names the argument.

use inhabit_core::{model::MAX_INPUTS, network::MAX_UNITS, rates::MAX_SLOTS};
use pyo3::{exceptions::PyTypeError, prelude::*};

use crate::{error::ConfigError, workers::MAX_WORKERS};

/// Defines readers of arguments: `from_py_with = integers::epochs`.
macro_rules! readers {
    ($($name:ident: $kind:ident<$type:ident> of $argument:literal, $least:expr, $most:expr;)*) => {$(
        #[allow(clippy::cast_possible_truncation)] // it is at most `most`
        pub(crate) fn $name(value: &Bound<'_, PyAny>) -> PyResult<readers!(@ $kind $type)> {
            let number = $kind($argument, value, $least as u64, $most as u64)?;
            Ok(readers!(@ $kind $type, number))
        }
    )*};
    (@ one $type:ident) => { $type };
    (@ one $type:ident, $number:ident) => { $number as $type };
    (@ optional $type:ident) => { Option<$type> };
    (@ optional $type:ident, $number:ident) => { $number.map(|number| number as $type) };
    (@ many $type:ident) => { Vec<$type> };
    (@ many $type:ident, $numbers:ident) => { $numbers };
    (@ optionally_many $type:ident) => { Option<Vec<$type>> };
    (@ optionally_many $type:ident, $numbers:ident) => { $numbers };
}

readers! {
    batch_size: one<u32> of "batch_size", 1, u32::MAX;
    begin: one<usize> of "begin", 0, u32::MAX;
    end: one<usize> of "end", 0, u32::MAX;
    epochs: one<u32> of "epochs", 1, u32::MAX;
    hidden_layers: optionally_many<usize> of "hidden_layers", 1, MAX_UNITS;
    label: one<u8> of "label", 0, 1;
    labels: many<usize> of "label", 0, 1;
    layers: many<usize> of "layers", 1, MAX_UNITS;
    members: one<usize> of "members", 1, 10_000;
    n_inputs: one<usize> of "n_inputs", 1, MAX_INPUTS;
    optional_batch_size: optional<u32> of "batch_size", 1, u32::MAX;
    optional_epochs: optional<u32> of "epochs", 1, u32::MAX;
    optional_layers: optionally_many<usize> of "layers", 1, MAX_UNITS;
    patience: optional<u32> of "patience", 1, u32::MAX;
    rates: many<usize> of "rates", 0, MAX_INPUTS - 1;
    retrain_every: optional<u32> of "retrain_every", 1, u32::MAX;
    retrain_window: optional<u32> of "retrain_window", 1, u32::MAX;
    seed: one<u64> of "seed", 0, u64::MAX;
    slot: one<usize> of "slot", 0, MAX_SLOTS - 1;
    slots: many<usize> of "slot", 0, MAX_SLOTS - 1;
    workers: optional<usize> of "workers", 1, MAX_WORKERS;
}

fn one(argument: &str, value: &Bound<'_, PyAny>, least: u64, most: u64) -> PyResult<u64> {
    match value.extract::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => {
            let got = value.get_type().name()?;
            Err(PyTypeError::new_err(format!("{argument}: expected a whole number, got {got}")))
        }
        _ => {
            let got = value.str().map_or_else(|_| "a huge number".into(), |text| text.to_string());
            let expected = format!("a whole number from {least} to {most}");
            Err(ConfigError::new_err(format!("{argument}: expected {expected}, got {got}")))
        }
    }
}

fn optional(
    argument: &str,
    value: &Bound<'_, PyAny>,
    least: u64,
    most: u64,
) -> PyResult<Option<u64>> {
    if value.is_none() { Ok(None) } else { one(argument, value, least, most).map(Some) }
}

fn many(argument: &str, value: &Bound<'_, PyAny>, least: u64, most: u64) -> PyResult<Vec<usize>> {
    value.try_iter()?.map(|item| Ok(one(argument, &item?, least, most)? as usize)).collect()
}

fn optionally_many(
    argument: &str,
    value: &Bound<'_, PyAny>,
    least: u64,
    most: u64,
) -> PyResult<Option<Vec<usize>>> {
    if value.is_none() { Ok(None) } else { many(argument, value, least, most).map(Some) }
}
