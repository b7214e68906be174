"""What is learned of requests for smooth windows."""

from headgate.domain.usage import TokenUsage
from headgate.tokens import expectation
from headgate.tokens.expectation import FIRST_OUTPUT_TOKENS, Expectations


def test_a_model_that_is_new_is_expected_to_read_a_quarter_of_its_bytes_and_write_some() -> None:
    assert Expectations().expect("m", 4000, 100_000, 50_000) == 1001 + FIRST_OUTPUT_TOKENS + 1


def test_no_more_is_expected_than_can_be() -> None:
    expectations = Expectations()
    assert expectations.expect("m", 4000, 700, 50_000) == 700
    assert expectations.expect("m", 4000, 100_000, 5) == 1001 + 5


def test_the_input_follows_what_a_byte_makes_and_the_output_its_95th_percentile() -> None:
    expectations = Expectations()
    outputs = [number * 7919 % 1000 + 1 for number in range(4000)]
    for output in outputs:
        expectations.learn("m", 1000, TokenUsage(input_tokens=400, output_tokens=output))
    expected = expectations.expect("m", 1000, 10**9, 10**9)
    above = sum(401 + output > expected for output in outputs) / len(outputs)
    assert 0.01 < above < 0.12


def test_models_are_learned_apart_and_the_oldest_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(expectation, "MODELS", 2)
    expectations = Expectations()
    for _ in range(200):
        expectations.learn("a", 100, TokenUsage(input_tokens=100, output_tokens=1))
    first = expectations.expect("a", 100, 10**9, 10**9)
    assert expectations.expect("b", 100, 10**9, 10**9) != first
    for model in ("b", "c"):
        expectations.learn(model, 100, TokenUsage(input_tokens=10, output_tokens=1))
    assert expectations.expect("a", 100, 10**9, 10**9) == Expectations().expect("a", 100, 10**9, 10**9)


def test_nothing_is_learned_of_an_empty_report() -> None:
    expectations = Expectations()
    expectations.learn("m", 0, TokenUsage(input_tokens=5))
    expectations.learn("m", 5, TokenUsage(output_tokens=5))
    assert expectations.expect("m", 100, 10**9, 10**9) == Expectations().expect("m", 100, 10**9, 10**9)
