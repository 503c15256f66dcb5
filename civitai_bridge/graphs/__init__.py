"""A graph looked at before it runs: what it can cost, which models it needs, what it writes, whom it speaks to.

A graph may be a stranger's: nothing in it is believed that could make the answer smaller than what may happen."""
