"""What axes and titles call things: the notation of `docs/concepts/notation.md`."""

__all__ = ["divergence_words"]


def divergence_words(name: str) -> str:
    """Return a divergence's name as prose: `reverse_kl` as "reverse KL"."""
    if name == "jensen_shannon":
        return "Jensen\u2013Shannon"
    words = name.replace("_kl", " KL").replace("chi_squared", "chi-squared")
    return words.replace("_", " ").replace("hellinger", "Hellinger")
