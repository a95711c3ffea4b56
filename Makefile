# Everything here is one command; the recipes only name it.
SHELL := /bin/bash
.PHONY: help run test lint fmt deny sim powercut crash load compose-test acceptance
.DEFAULT_GOAL := help
RUN_DIR ?= run

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: ## nats-server and the service on loopback with a development key (ONCE=1: show it and stop)
	@tools/run.sh

test: ## fetch nats-server if there is none, build, run every test
	@tools/nats-server.sh >/dev/null
	cargo test --workspace --locked

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format everything
	cargo fmt --all

deny: ## licences, sources and bans of the dependencies (needs cargo-deny)
	cargo deny --locked check bans licenses sources

sim: ## seeded simulation: 10,000 seeds of entities, 1,000 of the service (SEEDS=, SERVICE_SEEDS=, SEED=)
	SEEDS=$${SEEDS:-10000} SERVICE_SEEDS=$${SERVICE_SEEDS:-1000} \
		cargo test --profile checks --locked -p profile-tests --test sim -- --nocapture

powercut: ## the commit log on a simulated disk that loses power
	cargo test --locked -p profile --features testkit --lib power_cuts

crash: ## kill -9 of the real process, 100 times (ROUNDS=N, SEED=N replays a schedule)
	cargo build --locked --bins
	ROUNDS=$${ROUNDS:-100} cargo test --locked -p profile-tests --test crash -- --nocapture

load: ## 100,000 users from 64 clients against a release build (LOAD_USERS=N)
	cargo build --release --locked --bins
	LOAD_USERS=$${LOAD_USERS:-100000} cargo test --release --locked -p profile-tests --test load -- --nocapture

compose-test: ## the shipped docker-compose.yml, with a kill -9 of the service in between
	@tools/compose-test.sh

acceptance: ## what README.md promises, checked in Python (needs `make run` up, pip install nats-py)
	@test -f $(RUN_DIR)/env.sh || \
		{ echo "acceptance: no $(RUN_DIR)/env.sh. Advice: make run, in another terminal" >&2; exit 1; }
	@. $(RUN_DIR)/env.sh && PROFILE_DATA_DIR=$(RUN_DIR)/data python3 tests/acceptance/acceptance.py
