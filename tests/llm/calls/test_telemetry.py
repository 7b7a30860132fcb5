"""What a client leaves on the page of metrics before its first call."""


async def test_series_begin_before_the_first_call(client_of, server, metrics):
    """Prometheus' rates miss the value a series begins with: it begins at 0, on opening."""
    async with client_of(server):
        page = metrics.expose()
    assert 'llm_cost_usd_total{model="gpt-4o-mini"} 0' in page
    assert 'llm_calls_total{model="gpt-4o-mini",outcome="ok"} 0' in page
