"""A key that is too short: RSA of 1024 bits.

Rules: the key follows from the seed, so OpenSSL, which draws its own random numbers,
does not make it. It is for a certificate that must be refused, and for nothing else.

Specification: FIPS 186-5, appendix B.3: Miller-Rabin tests of primes.
"""

from random import Random

from cryptography.hazmat.primitives.asymmetric import rsa

_PRIME_BITS = 512
_EXPONENT = 65537
_ROUNDS = 8  # FIPS 186-5, table B.1: 4 to 5 are enough for primes of 512 bits

_SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, n, 2))]


def build_weak_key(numbers: Random) -> rsa.RSAPrivateKey:
    """An RSA key of 1024 bits from a source of random numbers.

    It takes some tens of milliseconds.
    """
    p = _prime(numbers)
    q = _prime(numbers)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p,
        q,
        d,
        rsa.rsa_crt_dmp1(d, p),
        rsa.rsa_crt_dmq1(d, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(_EXPONENT, p * q),
    ).private_key()


def _prime(numbers: Random) -> int:
    # The two highest bits are set: the product of two such primes has 1024 bits.
    while True:
        n = numbers.getrandbits(_PRIME_BITS) | 3 << (_PRIME_BITS - 2) | 1
        if (n - 1) % _EXPONENT and _is_prime(n, numbers):
            return n


def _is_prime(n: int, numbers: Random) -> bool:
    if any(n % small == 0 for small in _SMALL_PRIMES):
        return False
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    odd = (n - 1) >> twos
    return all(
        _passes(n, numbers.randrange(2, n - 1), odd, twos) for _ in range(_ROUNDS)
    )


def _passes(n: int, base: int, odd: int, twos: int) -> bool:
    """One round of Miller-Rabin: whether `base` does not prove `n` composite."""
    power = pow(base, odd, n)
    if power in {1, n - 1}:
        return True
    for _ in range(twos - 1):
        power = pow(power, 2, n)
        if power == n - 1:
            return True
    return False
