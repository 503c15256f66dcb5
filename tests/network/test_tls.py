"""Certificates and proxies: the person's variables first, sentences where they cannot be used."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi
import pytest

from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.network.proxies import proxy_for
from pack.civitai_bridge.network.tls import trusted


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_a_variable_that_names_nothing_is_named(name: str, tmp_path: Path):
    with pytest.raises(BadSetting, match=f"{name} names cannot be used: it is not there"):
        trusted({name: str(tmp_path / "gone")})


def test_a_file_without_certificates_is_named(tmp_path: Path):
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(BadSetting, match="it holds no certificates"):
        trusted({"SSL_CERT_FILE": str(broken)})


def test_of_several_folders_those_count_that_are_there(tmp_path: Path):
    there = str(tmp_path)
    trusted({"SSL_CERT_DIR": os.pathsep.join((str(tmp_path / "gone"), there))})
    assert trusted({"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": str(tmp_path / "gone")}).get_ca_certs()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_persons_certificates_are_the_ones(name: str):
    context = trusted({name: certifi.where()})
    assert len(context.get_ca_certs()) > 50 and context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname


def test_without_a_variable_the_name_is_checked_all_the_same():
    context = trusted({})
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("environ", "setting", "host", "proxy"),
    [
        ({}, "", "civitai.com", ""),
        ({"HTTPS_PROXY": "proxy:3128"}, "", "civitai.com", "http://proxy:3128"),
        ({"ALL_PROXY": "socks5h://proxy:1080"}, "", "civitai.com", "socks5://proxy:1080"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "civitai.com"}, "", "civitai.com", ""),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": ".civitai.com"}, "", "image.civitai.com", ""),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, "", "civitai.com", ""),
        ({"HTTPS_PROXY": "http://a:1"}, "", "127.0.0.1", ""),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, "http://b:2", "civitai.com", "http://b:2"),
        ({}, "http://b:2", "localhost", ""),
    ],
)
def test_which_proxy_a_host_is_reached_through(
    environ: dict[str, str], setting: str, host: str, proxy: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(host, setting) == proxy


@pytest.mark.parametrize("address", ["http://h:notaport", "ftp://h:1", "http://", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(address: str):
    with pytest.raises(BadSetting, match="The setting `proxy`") as caught:
        proxy_for("civitai.com", address.replace("//", "//me:SECRET@"))
    assert "SECRET" not in str(caught.value)
