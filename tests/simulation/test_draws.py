"""Numbers that a seed decides."""

from math import log
from statistics import fmean, median, pstdev

from headgate.simulation.draws import Draws


def test_the_same_question_has_the_same_numbers_and_another_has_others():
    first, again, other = Draws(1, "r1", "a"), Draws(1, "r1", "a"), Draws(1, "r1", "b")
    numbers = [first() for _ in range(5)]
    assert [again() for _ in range(5)] == numbers
    assert [other() for _ in range(5)] != numbers


def test_numbers_are_uniform():
    draw = Draws(7)
    numbers = [draw() for _ in range(20_000)]
    assert all(0 <= number < 1 for number in numbers)
    tenths = [sum(int(number * 10) == tenth for number in numbers) for tenth in range(10)]
    assert all(1850 <= count <= 2150 for count in tenths), tenths


def test_distributions_have_their_moments():
    draw = Draws("moments")
    sizes = [draw.lognormal(200, 0.5) for _ in range(20_000)]
    assert 195 <= median(sizes) <= 205
    assert 0.49 <= pstdev(map(log, sizes)) <= 0.51
    assert 2.9 <= fmean(draw.exponential(3.0) for _ in range(20_000)) <= 3.1
    assert draw.lognormal(200, 0.0) == 200
