async def test_a_hundred_pictures_wait_once_for_a_site_that_is_away():
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        start = time.monotonic()
        async with HttpClient() as network:
            site, lookups = (
                SiteClient(retrying(network.send_to(f"http://127.0.0.1:{closed.getsockname()[1]}"))),
                Lookups(),
            )
            for n in range(100):
                found = await identify(site, [f"{n:08x}aa", f"{n:08x}bb"], lookups)
                assert len(found.unknown) == 2 and isinstance(found.away, Unreachable)
        assert time.monotonic() - start < 6
