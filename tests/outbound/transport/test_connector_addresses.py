"""Which of the addresses of a route are connected to, and which ones are refused."""

from tests.support.connecting import NOT_FOR, WRONG, ConnectorTestCase, refusal
from tests.support.outbound_stack import GOOD


class AddressTests(ConnectorTestCase):
    """Which of a route's addresses is taken."""

    def test_next_address_after_a_while(self) -> None:
        """An address that does not answer at once gets competition."""
        self.hosts["a.test"] = ["2001:db8::1", "192.0.2.1"]
        connecting = self.connect("a.test")
        assert self.net.dialled == [("2001:db8::1", 8448)]
        self.net.clock.advance(0.3)
        assert self.net.dialled == [("2001:db8::1", 8448), ("192.0.2.1", 8448)]
        self.net.clock.tcpClients.reverse()
        self.net.clock.connectors.reverse()
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.1"

    def test_next_address_after_a_failed_verification(self) -> None:
        """Each of a route's addresses is tried until one is the peer's."""
        self.hosts["a.test"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        connecting = self.connect("a.test")
        self.net.accept(WRONG)
        assert self.net.dialled == [("192.0.2.2", 8448)]
        self.net.accept(WRONG)
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.3"

    def test_each_address_once(self) -> None:
        """However often a host has an address, it is connected to once."""
        self.hosts["a.test"] = ["192.0.2.1"] * 8 + ["192.0.2.2", "192.0.2.1"]
        connecting = self.connect("a.test")
        self.net.accept(WRONG)
        self.net.accept(WRONG)
        assert self.attempts(connecting) == [
            f"a.test:8448: 192.0.2.1: TLS handshake failed: {NOT_FOR}",
            f"a.test:8448: 192.0.2.2: TLS handshake failed: {NOT_FOR}",
        ]

    def test_each_address_once_in_whatever_form(self) -> None:
        """An address that the system writes in another way is the same address."""
        forms = [
            ("::ffff:102:304", "::ffff:1.2.3.4"),
            ("::ffff:1.2.3.4", "::ffff:102:304"),
            ("::102:304", "::1.2.3.4"),
            ("fe80::1", "fe80::1%eth0"),
            ("fe80::1%2", "fe80::1%eth0"),
            ("192.0.2.1", "2001:db8::9"),
        ]
        for found, told in forms:
            self.setUp()
            self.hosts["a.test"] = [found]
            connecting = self.connect("a.test")
            self.net.accept(WRONG, host=told)
            assert len(self.attempts(connecting)) == 1

    def test_next_address_in_whatever_form(self) -> None:
        """An address that the system writes in another way is not all addresses."""
        mapped = ("::ffff:102:304", "::ffff:1.2.3.4")
        for found, told in (mapped, mapped[::-1]):
            self.setUp()
            self.hosts["a.test"] = [found, "192.0.2.1"]
            connecting = self.connect("a.test")
            self.net.accept(WRONG, host=told)
            self.net.accept(GOOD)
            assert self.link(connecting).address == "192.0.2.1"

    def test_eight_addresses_at_most(self) -> None:
        """Of a host with hundreds of addresses, eight are tried."""
        self.hosts["a.test"] = [f"192.0.2.{number}" for number in range(200)]
        connecting = self.connect("a.test")
        for _ in range(8):
            self.net.accept(WRONG)
        assert len(self.attempts(connecting)) == 8

    def test_addresses_that_cannot_be_reached(self) -> None:
        """Where no address of a route can be connected to, they are tried once."""
        self.hosts["a.test"] = ["192.0.2.1", "192.0.2.2"]
        connecting = self.connect("a.test")
        self.net.clock.advance(0.3)
        self.net.refuse()
        self.net.refuse()
        self.net.clock.advance(0.3)
        assert len(self.attempts(connecting)) == 1


class PolicyTests(ConnectorTestCase):
    """Addresses that are not to be connected to."""

    def test_refused(self) -> None:
        """A refused address is not connected to; how to allow it is said."""
        self.make_stack(refuse=["127.0.0.0/8", "::1/128"])
        cases = [
            ("127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
            ("::1", "::1", "::1/128"),
            ("::ffff:127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
        ]
        for address, form, refused in cases:
            self.hosts["a.test"] = [address]
            connecting = self.connect("a.test")
            assert self.attempts(connecting) == [
                "a.test:8448: " + refusal(address, refused, form)
            ]
        assert self.net.clock.connectors == []

    def test_allowed_among_refused(self) -> None:
        """Of a host with addresses of both kinds, the allowed ones are used."""
        self.make_stack(refuse=["10.0.0.0/8"], allow=["10.0.0.7/32"])
        self.hosts["a.test"] = ["10.0.0.1", "192.0.2.1", "10.0.0.7", "10.0.0.9"]
        connecting = self.connect("a.test")
        dialled = self.net.dialled
        self.net.accept(WRONG)
        dialled += self.net.dialled
        self.net.accept(WRONG)
        self.attempts(connecting)
        assert [host for host, _ in dialled] == ["192.0.2.1", "10.0.0.7"]
