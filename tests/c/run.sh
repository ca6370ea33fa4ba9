#!/bin/sh
# Build the static library with AddressSanitizer, run the C tests against it and the golden vectors.
set -eu
cd "$(dirname "$0")/../.."
target=$(rustc -vV | sed -n 's/^host: //p')
build=target/c
# -Zsanitizer is what makes the Rust side checked, too; the flag is unstable, the code is not.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" \
    cargo rustc --quiet --locked --package inhabit-capi --release --crate-type staticlib \
    --target "$target" --target-dir "$build"
for test in test_vectors test_hostile; do
    ${CC:-cc} -std=c99 -g -O1 -Wall -Wextra -Werror -pedantic -fsanitize=address,undefined \
        -fno-sanitize-recover=all -Irust/capi/include -o "$build/$test" "tests/c/$test.c" \
        "$build/$target/release/libinhabit.a" -lpthread -ldl -lm
    "$build/$test" tests/vectors
done
