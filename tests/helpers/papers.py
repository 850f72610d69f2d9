"""The names of the papers, as published.toml has them."""

GLL, WNLL = "GLL paper (arXiv:2412.08016)", "WNLL paper (Eur. J. Appl. Math. 32, 2021)"


MANIFOLD, BILEVEL = "sparse-manifold paper (arXiv:2003.04286)", "bilevel paper (arXiv:2303.13964)"
