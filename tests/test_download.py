"""The downloader against a server that cuts, lies, stalls and redirects: a right file, or a clear refusal."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.errors import ApplianceError, DamagedBundle, HostNotReady
from appliance.progress import Silent
from bundler.sources import web
from bundler.sources.download import (
    Got,
    Job,
    NotGiven,
    Patience,
    Source,
    Wanted,
    fetch,
    fetch_all,
    fetch_text,
)
from bundler.sources.part import part_path
from tests.hostile import (
    Hostile,
    Play,
    any_play,
    cut,
    cut_at_random,
    endless,
    garbage,
    garbled,
    good,
    hang_up,
    hostile,
    many_digits,
    silence,
    status,
    without_range,
)

BODY = bytes(range(256)) * 40
OTHER = BODY[:-1] + b"x"
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(attempts=4, first_wait_s=0.001, longest_wait_s=0.01, timeout_s=20)


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile() as running:
        yield running


def wanted(*urls: str | Source, **fields: object) -> Wanted:
    sources = tuple(url if isinstance(url, Source) else Source(url) for url in urls)
    return Wanted(**({"name": "the file", "sources": sources, "size": len(BODY), "sha256": SHA256} | fields))  # type: ignore[arg-type]


def fetched(tmp_path: Path, *urls: str | Source, patience: Patience = QUICK, **fields: object) -> Got:
    return fetch(wanted(*urls, **fields), tmp_path / "cache" / "file", patience=patience)


def assert_whole(tmp_path: Path) -> None:
    """The file is there, and nothing else."""
    assert (tmp_path / "cache" / "file").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["file"]


def assert_nothing(tmp_path: Path) -> None:
    """Neither the file nor a part of it is there."""
    assert list((tmp_path / "cache").iterdir()) == []


def test_fetches_a_file_with_its_hash_and_size(server: Hostile, tmp_path: Path) -> None:
    assert fetched(tmp_path, server.url("/f", good(BODY))) == Got(SHA256, len(BODY))
    assert_whole(tmp_path)


def test_needs_no_server_for_what_is_in_the_cache(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/f", good(BODY))
    fetched(tmp_path, url)
    fetched(tmp_path, url)
    assert len(server.asked) == 1


def test_finds_a_flipped_byte_in_the_cache_and_fetches_again(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/f", good(BODY))
    fetched(tmp_path, url)
    (tmp_path / "cache" / "file").write_bytes(OTHER)
    fetched(tmp_path, url)
    assert_whole(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_goes_on_where_a_connection_was_cut(server: Hostile, tmp_path: Path, seed: int) -> None:
    patience = Patience(attempts=10_000, first_wait_s=0, timeout_s=20)
    fetched(tmp_path, server.url("/f", cut_at_random(BODY, seed)), patience=patience)
    assert_whole(tmp_path)
    starts = [int(headers.get("range", "bytes=0-")[6:-1]) for headers in server.headers("/f")]
    assert len(starts) > 1
    assert starts == sorted(set(starts))


def test_goes_on_from_what_another_process_left(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/f", cut(BODY, 5000), status(404), good(BODY))
    with pytest.raises(NotGiven):
        fetched(tmp_path, url)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".file.part"]
    fetched(tmp_path, url)
    assert server.headers("/f")[-1]["range"] == "bytes=5000-"
    assert_whole(tmp_path)


def test_publishes_a_part_that_was_whole_already(server: Hostile, tmp_path: Path) -> None:
    part = part_path(tmp_path / "cache" / "file")
    part.parent.mkdir()
    part.write_bytes(BODY)
    fetched(tmp_path, server.url("/f", status(500)))
    assert server.asked == []
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    "left", [OTHER[:5000][::-1], OTHER, BODY + b"more"], ids=["begun", "whole", "too long"]
)
def test_a_part_of_other_bytes_costs_one_fetch_of_the_whole(
    server: Hostile, tmp_path: Path, left: bytes
) -> None:
    part = part_path(tmp_path / "cache" / "file")
    part.parent.mkdir()
    part.write_bytes(left)
    fetched(tmp_path, server.url("/f", good(BODY)))
    assert "range" not in server.headers("/f")[-1]
    assert_whole(tmp_path)


def test_does_not_ask_twice_for_wrong_bytes(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/f", good(OTHER))
    with pytest.raises(DamagedBundle) as caught:
        fetched(tmp_path, url)
    got = hashlib.sha256(OTHER).hexdigest()
    assert caught.value.what == "The source served wrong bytes for the file."
    assert caught.value.why == f"expected {SHA256}, got {got}, from {url}"
    assert caught.value.exit_code == 4
    assert len(server.asked) == 1
    assert_nothing(tmp_path)


def test_wrong_bytes_in_pieces_are_fetched_once_more_and_then_refused(
    server: Hostile, tmp_path: Path
) -> None:
    url = server.url("/f", cut(OTHER, 4000), good(OTHER))
    with pytest.raises(DamagedBundle):
        fetched(tmp_path, url)
    assert [headers.get("range") for headers in server.headers("/f")] == [None, "bytes=4000-", None]
    assert_nothing(tmp_path)


def test_a_file_changed_between_two_requests_is_begun_anew(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/f", cut(OTHER, 4000, ETag='"one"'), good(BODY, ETag='"two"'))
    fetched(tmp_path, url)
    assert server.headers("/f")[1]["if-range"] == '"one"'
    assert len(server.asked) == 2
    assert_whole(tmp_path)


def test_a_file_changed_without_a_word_is_fetched_whole(server: Hostile, tmp_path: Path) -> None:
    changed = bytes(len(BODY))
    fetched(tmp_path, server.url("/f", cut(changed, 4000), good(BODY)))
    assert_whole(tmp_path)


def test_a_weak_etag_is_not_relied_on(server: Hostile, tmp_path: Path) -> None:
    fetched(tmp_path, server.url("/f", cut(BODY, 4000, ETag='W/"one"'), good(BODY)))
    assert "if-range" not in server.headers("/f")[1]
    assert_whole(tmp_path)


def test_a_server_that_ignores_range_is_taken_from_the_start(server: Hostile, tmp_path: Path) -> None:
    fetched(tmp_path, server.url("/f", cut(BODY, 4000), without_range(BODY)))
    assert_whole(tmp_path)


def test_a_server_that_ignores_range_and_breaks_off_comes_to_an_end(server: Hostile, tmp_path: Path) -> None:
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, server.url("/f", without_range(BODY, after=4000)))
    assert f"the connection ended after 4000 of {len(BODY)} bytes" in caught.value.why
    assert len(server.asked) == QUICK.attempts


def test_another_part_than_the_one_asked_for_is_not_taken(server: Hostile, tmp_path: Path) -> None:
    lying = [cut(BODY, 4000), lambda call: call.send(206, BODY[10:], Content_Range="bytes 10-99/10240")]
    fetched(tmp_path, server.url("/f", *lying, good(BODY)))
    assert "range" not in server.headers("/f")[-1]
    assert_whole(tmp_path)


def test_begins_anew_when_the_server_knows_no_such_range(server: Hostile, tmp_path: Path) -> None:
    fetched(tmp_path, server.url("/f", cut(BODY, 4000), status(416), good(BODY)))
    assert "range" not in server.headers("/f")[-1]
    assert_whole(tmp_path)


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x"], ids=["short", "long"])
def test_refuses_another_length_before_the_body(server: Hostile, tmp_path: Path, body: bytes) -> None:
    with pytest.raises(DamagedBundle) as caught:
        fetched(tmp_path, server.url("/f", good(body)))
    assert f"expected {len(BODY)} bytes, got {len(body)} bytes" in caught.value.why
    assert_nothing(tmp_path)


def test_a_length_that_lies_is_refused(server: Hostile, tmp_path: Path) -> None:
    def lies(call: object) -> None:
        call.send(200, BODY, Content_Length=str(len(BODY) - 10))  # type: ignore[attr-defined]
        call.hang_up()  # type: ignore[attr-defined]

    with pytest.raises(DamagedBundle):
        fetched(tmp_path, server.url("/f", lies))
    assert_nothing(tmp_path)


def test_stops_one_byte_beyond_what_is_expected(server: Hostile, tmp_path: Path) -> None:
    with pytest.raises(DamagedBundle) as caught:
        fetched(tmp_path, server.url("/f", endless))
    assert f"expected {len(BODY)} bytes at most, got more" in caught.value.why
    assert_nothing(tmp_path)


@pytest.mark.parametrize("play", [garbage, garbled, many_digits, hang_up])
@pytest.mark.parametrize("before", [0, 4000])
def test_an_answer_that_is_none_is_asked_for_again(
    server: Hostile, tmp_path: Path, play: Play, before: int
) -> None:
    plays = [cut(BODY, before), play] if before else [play]
    fetched(tmp_path, server.url("/f", *plays, good(BODY)))
    assert_whole(tmp_path)


def test_an_encoding_that_was_not_asked_for_is_named(server: Hostile, tmp_path: Path) -> None:
    packed = BODY[:3000]
    with pytest.raises(DamagedBundle) as caught:
        fetched(tmp_path, server.url("/f", good(packed, Content_Encoding="gzip")))
    assert "sent with the encoding gzip" in caught.value.why
    assert server.headers("/f")[0]["accept-encoding"] == "identity"
    assert len(server.asked) == 1


def test_right_bytes_are_taken_whatever_the_encoding_says(server: Hostile, tmp_path: Path) -> None:
    fetched(tmp_path, server.url("/f", good(BODY, Content_Encoding="x-gzip")))
    assert_whole(tmp_path)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_tries_again_after(server: Hostile, tmp_path: Path, code: int) -> None:
    fetched(tmp_path, server.url("/f", status(code), good(BODY)))
    assert_whole(tmp_path)


def test_waits_as_long_as_the_server_asks_within_bounds(server: Hostile, tmp_path: Path) -> None:
    notes: list[str] = []
    patience = Patience(first_wait_s=0.001, longest_wait_s=1.2)
    began = time.monotonic()
    plays = [status(429, Retry_After="1"), status(503, Retry_After="86400"), good(BODY)]
    target = tmp_path / "cache" / "file"
    fetch(wanted(server.url("/f", *plays)), target, note=notes.append, patience=patience)
    assert time.monotonic() - began >= 2.2
    assert notes == [
        "the file: the server answers 429 Too Many Requests; trying again in 1 s",
        "the file: the server answers 503 Service Unavailable; trying again in 1 s",
    ]


def test_a_date_to_try_again_at_is_understood() -> None:
    assert web._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 3e9 < web._retry_after("Wed, 21 Oct 2125 07:28:00 GMT") < 4e9
    assert web._retry_after("soon") == 0
    assert web._retry_after("Wed, 21 Oct 99999999999 07:28:00 GMT") == 0


def test_a_server_that_fails_for_ever_is_given_up(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/f", status(500))
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, url)
    assert caught.value.what == "the file could not be fetched."
    assert caught.value.why == f"{url}: the server answers 500 Internal Server Error"
    assert caught.value.exit_code == 7
    assert caught.value.status == 500
    assert len(server.asked) == QUICK.attempts
    assert_nothing(tmp_path)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451])
def test_does_not_ask_twice_for_what_is_refused(server: Hostile, tmp_path: Path, code: int) -> None:
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, server.url("/f", status(code, X_Error_Code="Reason")))
    assert (caught.value.status, caught.value.code) == (code, "Reason")
    assert len(server.asked) == 1


def test_a_stall_is_a_broken_connection(server: Hostile, tmp_path: Path) -> None:
    patience = Patience(attempts=3, first_wait_s=0, timeout_s=0.3)
    stall = silence(3, before=BODY[:4000], length=len(BODY))
    fetched(tmp_path, server.url("/f", stall, good(BODY)), patience=patience)
    assert server.headers("/f")[1]["range"] == "bytes=4000-"
    assert_whole(tmp_path)


def test_a_drip_is_a_broken_connection(server: Hostile, tmp_path: Path) -> None:
    def drip(call: object) -> None:
        call.send(200, b"", Content_Length=str(len(BODY)))  # type: ignore[attr-defined]
        for at in range(200):
            call.wfile.write(BODY[at : at + 1])  # type: ignore[attr-defined]
            time.sleep(0.02)

    patience = Patience(attempts=3, first_wait_s=0, slow_s=0.3, slow_bytes=4096, timeout_s=20)
    fetched(tmp_path, server.url("/f", drip, good(BODY)), patience=patience)
    assert len(server.asked) == 2
    assert_whole(tmp_path)


def test_what_cannot_be_reached_is_given_up_sooner(tmp_path: Path) -> None:
    with hostile() as gone:
        pass
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, gone.address + "/f")
    assert "it cannot be reached: Connection refused" in caught.value.why
    assert caught.value.status == 0


def test_takes_the_next_address_when_one_fails(server: Hostile, tmp_path: Path) -> None:
    urls = [server.url("/a", status(404)), server.url("/b", good(OTHER)), server.url("/c", good(BODY))]
    fetched(tmp_path, *urls)
    assert_whole(tmp_path)


def test_says_what_every_address_answered(server: Hostile, tmp_path: Path) -> None:
    urls = [server.url("/a", status(404)), server.url("/b", status(410))]
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, *urls)
    assert caught.value.why == (
        f"{urls[0]}: the server answers 404 Not Found; {urls[1]}: the server answers 410 Gone"
    )


def test_addresses_are_looked_up_only_when_they_are_needed(server: Hostile, tmp_path: Path) -> None:
    asked: list[str] = []

    def look_up() -> tuple[Source, ...]:
        asked.append("")
        return (Source(server.url("/f", good(BODY))),)

    target = tmp_path / "cache" / "file"
    for _ in range(2):
        fetch(Wanted("the file", look_up, len(BODY), SHA256), target, patience=QUICK)
    assert len(asked) == 1
    target.write_bytes(OTHER)
    fetch(Wanted("the file", look_up, len(BODY), SHA256), target, patience=QUICK)
    assert len(asked) == 2
    assert_whole(tmp_path)


def test_follows_a_redirect(server: Hostile, tmp_path: Path) -> None:
    server.url("/b", good(BODY))
    fetched(tmp_path, server.url("/a", status(302, Location="/b")))
    assert_whole(tmp_path)


def test_a_loop_of_redirects_ends(server: Hostile, tmp_path: Path) -> None:
    server.url("/b", status(307, Location="/a"))
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, server.url("/a", status(302, Location="/b")))
    assert "the server redirects more than 10 times" in caught.value.why


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/f", "", "http://[::1"])
def test_a_redirect_to_what_is_no_web_address_is_refused(
    server: Hostile, tmp_path: Path, target: str
) -> None:
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, server.url("/a", status(302, Location=target)))
    assert "redirects to" in caught.value.why
    assert_nothing(tmp_path)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    with pytest.raises(web.Failure, match="from https to http"):
        web._redirected("https://a.example/x", "http://a.example/x")
    assert web._redirected("http://a.example/x", "https://b.example/x") == "https://b.example/x"
    assert web._redirected("https://a.example/x", "/y") == "https://a.example/y"


def test_credentials_do_not_follow_to_another_place(server: Hostile, tmp_path: Path) -> None:
    secret = {"Authorization": "Bearer planted"}
    with hostile("127.0.0.2") as other, hostile() as same_host:
        other.url("/c", good(BODY))
        same_host.url("/b", status(302, Location=other.address + "/c"))
        server.url("/own", status(302, Location=same_host.address + "/b"))
        first = server.url("/a", status(302, Location="/own"))
        fetched(tmp_path, Source(first, headers=lambda: secret))
        seen = [headers.get("authorization") for _, headers in server.asked]
        assert seen == ["Bearer planted", "Bearer planted"]
        assert "authorization" not in same_host.headers("/b")[0]
        assert "authorization" not in other.headers("/c")[0]


def test_credentials_in_an_address_are_sent_and_never_shown(server: Hostile, tmp_path: Path) -> None:
    url = server.url("/t/planted/f", status(403)).replace("http://", "http://me:planted@") + "?key=planted"
    source = Source(url, headers=lambda: {"X-Key": "planted"})
    with pytest.raises(NotGiven) as caught:
        fetched(tmp_path, source)
    _, headers = server.asked[0]
    assert headers["authorization"] == "Basic bWU6cGxhbnRlZA=="  # printf me:planted | base64
    assert headers["x-key"] == "planted"
    assert "planted" not in str(caught.value)
    assert "planted" not in repr(source) + repr(wanted(source))


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with hostile(tls=self_signed(tmp_path)) as server, pytest.raises(NotGiven) as caught:
        fetched(tmp_path, server.url("/f", good(BODY)))
    assert "its certificate is not trusted here" in caught.value.why
    assert server.asked == []


def self_signed(folder: Path) -> Path:
    """Key and certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def proxied(server: Hostile, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    """The server, as the proxy of the environment."""
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.address)
    web._opener.cache_clear()
    yield server
    web._opener.cache_clear()


def test_the_environments_proxy_is_asked_but_for_loopback(proxied: Hostile, tmp_path: Path) -> None:
    proxied.url("http://files.invalid/f", good(BODY))
    fetched(tmp_path, "http://files.invalid/f")
    assert_whole(tmp_path)
    with hostile() as own:
        fetched(tmp_path / "own", own.url("/f", good(BODY)))
        assert len(own.asked) == len(proxied.asked) == 1


def test_a_file_address_is_taken_only_where_it_was_declared(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(BODY)
    url = (tmp_path / "there").as_uri()
    with pytest.raises(NotGiven, match="is not taken here"):
        fetched(tmp_path, url)
    fetched(tmp_path, Source(url, may_be_file=True))
    assert_whole(tmp_path)
    with pytest.raises(NotGiven, match="No such file"):
        fetched(tmp_path, Source(url + "x", may_be_file=True), sha256="0" * 64)


@pytest.mark.parametrize(
    "url", ["not an address", "http://[::1/f", "http://127.0.0.1:port/f", "gopher://x/f"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(NotGiven):
        fetched(tmp_path, url)


def test_a_git_blob_id_is_judged_too(server: Hostile, tmp_path: Path) -> None:
    blob = "ce013625030ba8dba906f756967f9e9ca394464a"  # printf 'hello\n' | git hash-object --stdin
    right = server.url("/right", good(b"hello\n"))
    assert fetched(tmp_path, right, sha256=None, blob=blob, size=6).size == 6
    wrong = server.url("/wrong", good(b"hullo\n"))
    with pytest.raises(DamagedBundle, match="expected git blob ce013625"):
        fetched(tmp_path / "two", wrong, sha256=None, blob=blob, size=6)


def test_a_file_without_a_known_size_is_fetched_by_its_hash(server: Hostile, tmp_path: Path) -> None:
    fetched(tmp_path, server.url("/f", cut(BODY, 4000), good(BODY)), size=None)
    assert_whole(tmp_path)


def test_a_small_text_is_read_into_memory_within_bounds(server: Hostile) -> None:
    url = server.url("/f", cut(BODY, 4000), good(BODY))
    assert fetch_text("the list", Source(url), most=len(BODY), patience=QUICK) == BODY
    assert "range" not in server.headers("/f")[1]  # nothing would tell if the rest were of another list
    tagged = server.url("/t", cut(BODY, 4000, ETag='"one"'), good(BODY, ETag='"one"'))
    assert fetch_text("the list", Source(tagged), most=len(BODY), patience=QUICK) == BODY
    assert server.headers("/t")[1]["range"] == "bytes=4000-"
    with pytest.raises(DamagedBundle):
        fetch_text("the list", Source(server.url("/g", endless)), most=1000, patience=QUICK)


def test_a_full_disk_is_told_as_such(server: Hostile, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    part_path(tmp_path / "cache" / "file").write_bytes(b"")
    job = Job(wanted(server.url("/f", good(BODY)), size=1 << 60), tmp_path / "cache" / "file")
    with pytest.raises(HostNotReady) as caught:
        fetch_all([job], what="Fetch", progress=Silent())
    assert "too little room" in caught.value.what
    assert server.asked == []


def test_several_files_are_fetched_side_by_side_and_counted(server: Hostile, tmp_path: Path) -> None:
    bodies = [bytes([number]) * (1000 + number) for number in range(20)]
    jobs = []
    for number, body in enumerate(bodies):
        url = server.url(f"/{number}", cut(body, 500), good(body))
        sha256 = hashlib.sha256(body).hexdigest()
        jobs.append(Job(Wanted(str(number), (Source(url),), len(body), sha256), tmp_path / str(number)))
    counter = Counter()
    got = fetch_all(jobs, what="Fetch", progress=counter, patience=QUICK)
    assert [each.size for each in got] == [len(body) for body in bodies]
    assert [(tmp_path / str(number)).read_bytes() for number in range(20)] == bodies
    assert counter.done == counter.total == sum(map(len, bodies))
    assert fetch_all([], what="Fetch", progress=counter) == []


def test_two_jobs_for_one_target_are_one_download(server: Hostile, tmp_path: Path) -> None:
    job = Job(wanted(server.url("/f", good(BODY))), tmp_path / "file")
    counter = Counter()
    assert fetch_all([job, job], what="Fetch", progress=counter) == [Got(SHA256, len(BODY))] * 2
    assert len(server.asked) == 1
    assert counter.done == counter.total == len(BODY)


def test_one_file_that_fails_ends_the_others(server: Hostile, tmp_path: Path) -> None:
    slow = server.url("/slow", silence(20, before=BODY[:4000], length=len(BODY)))
    missing = server.url("/none", status(404))
    jobs = [Job(wanted(slow), tmp_path / "slow"), Job(wanted(missing), tmp_path / "none")]
    with pytest.raises(NotGiven, match="404"):
        thread_free(lambda: fetch_all(jobs, what="Fetch", progress=Silent(), patience=Patience(timeout_s=2)))
    assert not (tmp_path / "slow").exists()


def thread_free(act: object) -> None:
    """Run `act`; nothing of it runs any more when this returns."""
    before = set(threading.enumerate())
    try:
        act()  # type: ignore[operator]
    finally:
        for thread in set(threading.enumerate()) - before:
            if "process_request" not in thread.name:  # the server's own
                thread.join(timeout=30)


class Counter:
    """A `Progress` that adds up."""

    done = 0
    total = 0

    def stage(self, what: str, *, total: int | None, unit: str = "B") -> "Counter":
        self.total += total or 0
        return self

    def note(self, text: str) -> None:
        pass

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, amount: int) -> None:
        self.done += amount


SCRIPT = """
import sys
from pathlib import Path
from appliance.progress import Terminal
from bundler.sources.download import Job, Source, Wanted, fetch_all
url, sha256, size, target = sys.argv[1:]
wanted = Wanted("it", (Source(url),), int(size), sha256)
fetch_all([Job(wanted, Path(target))], what="Fetch", progress=Terminal())
"""


def bundler(url: str, target: Path) -> "subprocess.Popen[str]":
    """Another bundler that fetches BODY."""
    command = [sys.executable, "-c", SCRIPT, url, SHA256, str(len(BODY)), str(target)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(holds: object) -> None:
    """Wait until it holds; far longer than it can take."""
    until = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["interrupt", "end", "kill"]
)
def test_what_is_stopped_leaves_a_part_to_go_on_from(
    server: Hostile, tmp_path: Path, how: signal.Signals
) -> None:
    url = server.url("/f", silence(30, before=BODY[:4000], length=len(BODY)), good(BODY))
    target = tmp_path / "cache" / "file"
    part = part_path(target)
    child = bundler(url, target)
    wait_for(lambda: part.exists() and part.stat().st_size == 4000)
    child.send_signal(how)
    child.communicate(timeout=60)
    assert child.returncode != 0
    assert not target.exists()
    fetched(tmp_path, url)
    assert server.headers("/f")[-1]["range"] == "bytes=4000-"
    assert_whole(tmp_path)


def test_two_bundlers_on_one_cache_fetch_a_file_once(server: Hostile, tmp_path: Path) -> None:
    def slowly(call: object) -> None:
        call.send(200, BODY[:4000], Content_Length=str(len(BODY)))  # type: ignore[attr-defined]
        time.sleep(3)
        call.wfile.write(BODY[4000:])  # type: ignore[attr-defined]

    url = server.url("/f", slowly)
    target = tmp_path / "cache" / "file"
    children = [bundler(url, target) for _ in range(2)]
    told = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0], told
    assert len(server.asked) == 1
    assert_whole(tmp_path)


def test_no_error_of_the_operating_system_passes_for_a_network_failure(
    tmp_path: Path, server: Hostile
) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(OSError) as caught:
        fetched(tmp_path, server.url("/f", good(BODY)))
    assert not isinstance(caught.value, ApplianceError)


def test_a_link_in_place_of_the_part_is_not_followed(tmp_path: Path, server: Hostile) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "cache").mkdir()
    part_path(tmp_path / "cache" / "file").symlink_to(victim)
    with pytest.raises(OSError):
        fetched(tmp_path, server.url("/f", good(BODY)))
    assert victim.read_text() == "mine"


CHAOS = 60
"""How many seeds; `make campaign` takes 3,000."""


def survives_chaos(seed: int, folder: Path) -> bool:
    """Whether a random server's doings end in the right file or a refusal, and a good server mends all.

    The refusal leaves nothing under the target's name; what it left beside may hold anything.
    """
    chance = random.Random(seed)
    target = folder / str(seed) / "file"
    others = [OTHER, BODY[:-7], BODY + b"x", b"", bytes(len(BODY))]
    with hostile() as server:
        plays = [any_play(chance, BODY, others) for _ in range(chance.randint(1, 6))]
        urls = [server.url("/f", *plays, good(BODY)), server.url("/g", *plays[::-1])]
        server.url("/elsewhere", any_play(chance, BODY, others))
        pinned = {"size": chance.choice([None, len(BODY)]), "most": 1 << 20}
        try:
            fetch(wanted(*urls[: chance.randint(1, 2)], **pinned), target, patience=QUICK)
        except ApplianceError as error:
            held = not target.exists() and error.exit_code in (4, 7)
        else:
            held = target.read_bytes() == BODY
        fetch(wanted(server.url("/good", good(BODY)), **pinned), target, patience=QUICK)
    return (
        held and target.read_bytes() == BODY and [path.name for path in target.parent.iterdir()] == ["file"]
    )


def test_whatever_a_server_does_the_file_is_right_or_refused(tmp_path: Path) -> None:
    assert [seed for seed in range(CHAOS) if not survives_chaos(seed, tmp_path)] == []
