# `just --list` tells what there is. `.ci/install` brings just itself and what the tests need.

export PATH := justfile_directory() / "target/tools/bin:" + env("PATH")

# All checks, as CI runs them; the tests' summaries come last.
ci: fmt clippy doc test generated

# The formatting is that of rustfmt and gofmt.
fmt:
    cargo fmt --all --check
    @test -z "$(gofmt -l integration-tests/go | tee /dev/stderr)"

# No warning of clippy or of Go's vet.
clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cd integration-tests/go && go vet ./...

# The documentation builds without a warning.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

# All tests and doc tests, with all that they need.
test *args:
    .ci/test {{ args }}

# The tests compare each generated file with its source; a CI run must not have changed a tracked file either.
generated:
    @test "${CI:-}" != true || git diff --exit-code --stat

# The benchmarks, from the smallest part to the whole node; docs/BENCHMARKS.md says what they printed. With a name, that one.
bench name="*":
    cargo bench --workspace --locked --bench '{{ name }}'

# Feeds the decoders until `seconds` are over, target by target. Needs cargo-fuzz and a nightly toolchain.
fuzz seconds="300":
    cd core/kad && for target in $(cargo +nightly fuzz list); do cargo +nightly fuzz run "$target" -- -max_total_time={{ seconds }} || exit 1; done

# A node; arguments go to hydra.
run *args:
    cargo run --release --bin hydra -- {{ args }}
