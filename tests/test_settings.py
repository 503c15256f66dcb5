"""Keys, addresses and limits."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from pack.civitai_bridge import settings as settings_module
from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.model_files.folders import note_folders
from pack.civitai_bridge.settings import (
    SETTINGS,
    Settings,
    admin_token,
    check_setting,
    delete_key,
    key_variable,
    load_settings,
    misspelt_settings,
    note_state_folder,
    save_key,
    save_setting,
    state_folder,
)


def test_argument_then_environment_then_file(tmp_path: Path):
    save_key(tmp_path, "from-file")
    assert load_settings({}, home=tmp_path).key == "from-file"
    assert load_settings({"CIVITAI_API_KEY": "second"}, home=tmp_path).key == "second"
    assert load_settings({"CIVITAI_API_KEY": "second", "CIVITAI_API_TOKEN": "first"}, home=tmp_path).key == "first"
    assert load_settings({"CIVITAI_API_TOKEN": "first"}, home=tmp_path, key="argument").key == "argument"
    assert delete_key(tmp_path) and not delete_key(tmp_path)
    assert load_settings({}, home=tmp_path).key == ""


def test_the_key_is_never_shown(tmp_path: Path):
    settings = load_settings({"CIVITAI_API_TOKEN": "very-secret"}, home=tmp_path)
    assert "very-secret" not in repr(settings) and "very-secret" not in settings.account
    (tmp_path / "credentials.json").write_text('{"key": "very-secret" oops')
    with pytest.raises(BadSetting) as caught:
        load_settings({}, home=tmp_path).require_whole()
    assert "very-secret" not in str(caught.value) and "line 1" in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions; CI runs it on Linux")
def test_files_are_for_their_owner_alone(tmp_path: Path):
    save_key(tmp_path / "state", "k")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "credentials.json").stat().st_mode) == 0o600
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == [".credentials.lock", "credentials.json"]


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "\x07"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(tmp_path: Path, key: str):
    with pytest.raises(BadSetting) as caught:
        load_settings({"CIVITAI_API_TOKEN": key}, home=tmp_path)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CIVITAI_API_URL", "https://civitai.com/api/v1", "site's API"),
        ("CIVITAI_ORCHESTRATION_URL", "http://orchestration.civitai.com", "https"),
        ("CIVITAI_ORCHESTRATION_URL", "https://user:pw@host", "plain address"),
        ("CIVITAI_SITE_URL", "ftp://civitai.com", "https"),
        ("CIVITAI_SITE_URL", "https://h:99999", "not an address"),
        ("CIVITAI_LINK_URL", "nonsense", "https"),
    ],
)
def test_addresses_that_could_carry_the_key_away(tmp_path: Path, variable: str, value: str, words: str):
    with pytest.raises(BadSetting, match=words):
        load_settings({variable: value}, home=tmp_path)


def test_addresses(tmp_path: Path):
    settings = load_settings({"CIVITAI_API_URL": "https://orchestration-new.civitai.com/"}, home=tmp_path)
    assert settings.base == settings.orchestration_url == "https://orchestration-new.civitai.com"
    assert (
        load_settings({"CIVITAI_ORCHESTRATION_URL": "http://127.0.0.1:8000"}, home=tmp_path).base
        == "http://127.0.0.1:8000"
    )
    assert Settings(orchestration_url="https://HOST:443/").base == "https://host"


def test_the_sandbox_reads_no_key_and_has_its_own_folder(tmp_path: Path):
    save_key(tmp_path, "real")
    settings = load_settings({"CIVITAI_BRIDGE_SANDBOX": "1", "CIVITAI_API_TOKEN": "real"}, home=tmp_path)
    assert (settings.key, settings.sandbox, settings.home) == ("sandbox", True, tmp_path / "sandbox")
    assert settings.account == "sandbox"
    assert settings.at(orchestration_url="http://127.0.0.1:5", site_url="http://127.0.0.1:6").base.endswith(":5")
    assert not load_settings({"CIVITAI_BRIDGE_SANDBOX": "0"}, home=tmp_path).sandbox


def test_different_keys_are_different_accounts():
    assert Settings(key="a").account != Settings(key="b").account


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("limit_buzz_per_day", "200", 200),
        ("currencies", "blue, yellow blue", ("blue", "yellow")),
        ("currencies", "", ()),
        ("mature_content", "blocked", "blocked"),
        ("allow_pickle", "yes", True),
    ],
)
def test_settings_are_saved_and_read(tmp_path: Path, name: str, text: str, value: object):
    (tmp_path / "settings.json").write_text('{"of another version": 1}')
    assert save_setting(tmp_path, name, text) == value
    assert getattr(load_settings({}, home=tmp_path), name) == value
    assert json.loads((tmp_path / "settings.json").read_text())["of another version"] == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("limit_buzz_per_day", "-1"),
        ("limit_buzz_per_day", "many"),
        ("currencies", "gold"),
        ("mature_content", "x"),
        ("allow_pickle", "perhaps"),
        ("nothing", "1"),
        ("max_download_gb", "0"),
    ],
)
def test_wrong_settings_are_sentences(name: str, text: str):
    with pytest.raises(BadSetting):
        check_setting(name, text)


def test_a_damaged_settings_file_is_named(tmp_path: Path):
    (tmp_path / "settings.json").write_text('{"currencies": ["gold"]}')
    damaged = load_settings({}, home=tmp_path)
    assert damaged.currencies == () and "settings.json" in damaged.damage
    with pytest.raises(BadSetting, match=r"settings\.json"):
        damaged.require_whole()
    assert load_settings({}, home=tmp_path / "other").require_whole().damage == ""


def test_a_misspelt_setting_is_named_and_stays(tmp_path: Path):
    (tmp_path / "settings.json").write_text('{"limit_buzz_per_promt": 5, "of_a_newer_version": 1}')
    first, second = misspelt_settings(tmp_path)
    assert "did you mean limit_buzz_per_prompt?" in first and "of_a_newer_version" in second
    save_setting(tmp_path, "limit_buzz_per_day", "7")
    assert "of_a_newer_version" in (tmp_path / "settings.json").read_text()


@pytest.mark.parametrize("text", ['"abc"', "'abc'", ' "abc" ', "abc"])
def test_quotes_around_a_key_are_no_part_of_it(text: str, tmp_path: Path):
    assert load_settings({"CIVITAI_API_TOKEN": text}, home=tmp_path).key == "abc"


def test_every_setting_has_its_field():
    assert {name: setting.default for name, setting in SETTINGS.items()} == {
        n: getattr(Settings(), n) for n in SETTINGS
    }


def test_the_cli_follows_the_servers_note(tmp_path: Path):
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "LOCALAPPDATA": str(tmp_path / "data")}
    before = state_folder(environ)
    place = tmp_path / "user" / "__civitai_bridge"
    note_state_folder(place, environ)
    assert state_folder(environ) == before, "a place that is gone is not followed"
    place.mkdir(parents=True)
    assert state_folder(environ) == place
    assert state_folder({**environ, "CIVITAI_BRIDGE_HOME": str(tmp_path / "own")}) == tmp_path / "own"


def test_a_login_and_a_token_that_is_made_meanwhile_do_not_lose_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, tokens = settings_module.write_json, []
    makers = [threading.Thread(target=lambda: tokens.append(admin_token(tmp_path, {})))]

    def slow(path: Path, data: Any) -> None:
        if "key" in data and not makers[0].ident:
            makers[0].start()
            makers[0].join(0.2)  # it has to wait for us
        real(path, data)

    monkeypatch.setattr(settings_module, "write_json", slow)
    save_key(tmp_path, "abc")
    makers[0].join()
    assert tokens == [admin_token(tmp_path, {})] and load_settings({}, home=tmp_path).key == "abc"
    assert delete_key(tmp_path) and admin_token(tmp_path, {}) == tokens[0]


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), Timeout("lock")])
def test_secrets_that_cannot_be_held_are_a_sentence(tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch):
    def no(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", no)
    with pytest.raises(BadSetting, match="cannot be changed"):
        save_key(tmp_path, "abc")


def test_what_is_wrong_with_one_setting_leaves_the_others(tmp_path: Path):
    wrong = {"limit_buzz_per_day": "many", "catalog_folder": None, "proxy": "socks5://p:1", "page_session": "off"}
    (tmp_path / "settings.json").write_text(json.dumps(wrong))
    settings = load_settings({}, home=tmp_path)
    assert (settings.proxy, settings.page_session) == ("socks5://p:1", "off")
    assert settings.catalog_folder == "" and "limit_buzz_per_day" in settings.damage


def test_a_stored_key_that_is_none_is_damage_and_stops_no_log_in(tmp_path: Path):
    (tmp_path / "credentials.json").write_text(json.dumps({"key": "two words", "admin_token": "T"}))
    settings = load_settings({}, home=tmp_path)
    assert settings.key == settings.damage == "" and "The API key has characters" in settings.key_damage
    assert "two words" not in settings.key_damage and settings.require_whole(key=False)
    with pytest.raises(BadSetting):
        settings.require_whole()
    save_key(tmp_path, "k" * 32)
    assert load_settings({}, home=tmp_path).key == "k" * 32 and admin_token(tmp_path, {}) == "T"


def test_a_variable_with_nothing_but_quotes_holds_no_key(tmp_path: Path):
    save_key(tmp_path, "k" * 32)
    assert load_settings({"CIVITAI_API_TOKEN": '""', "CIVITAI_API_KEY": "' '"}, home=tmp_path).key == "k" * 32
    assert key_variable({"CIVITAI_API_TOKEN": '""', "CIVITAI_API_KEY": '"other"'}) == "CIVITAI_API_KEY"


def test_files_that_windows_editors_saved_are_read(tmp_path: Path):
    (tmp_path / "settings.json").write_text('{"sidecars": "off"}', encoding="utf-8-sig")
    assert load_settings({}, home=tmp_path).sidecars == "off"


def test_a_file_nested_too_deep_is_a_sentence(tmp_path: Path):
    (tmp_path / "settings.json").write_text("[" * 100_000)
    assert "cannot be read" in load_settings({}, home=tmp_path).damage


def test_the_server_writes_its_damaged_notes_anew(tmp_path: Path):
    environ = {"XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    note_state_folder(tmp_path, environ)
    for note in tmp_path.rglob("server.json"):
        note.write_text("{")
    note_state_folder(tmp_path, environ)
    assert state_folder(environ) == tmp_path
    note_folders(tmp_path, {"loras": ["/a"]}, "/")
    (tmp_path / "folders.json").write_text("{")
    note_folders(tmp_path, {"loras": ["/a"]}, "/")
    assert json.loads((tmp_path / "folders.json").read_text())["folders"] == {"loras": ["/a"]}


def test_the_catalogs_lie_in_one_place_wherever_a_program_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Settings(home=tmp_path).catalog_place == tmp_path
    assert Settings(home=tmp_path / "state", catalog_folder="cats").catalog_place == tmp_path / "state" / "cats"
    assert Settings(home=tmp_path / "state", catalog_folder="~/cats").catalog_place == tmp_path / "cats"
    monkeypatch.chdir(tmp_path)
    assert save_setting(tmp_path, "catalog_folder", "cats") == str(tmp_path / "cats")
    assert load_settings({}, home=tmp_path).catalog_place == tmp_path / "cats"


def test_a_damaged_note_of_the_server_is_said_with_its_place(tmp_path: Path):
    environ = {"XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    note_state_folder(tmp_path, environ)
    (note,) = tmp_path.rglob("server.json")
    note.write_text("{")
    with pytest.raises(BadSetting, match="ComfyUI writes it anew") as caught:
        state_folder(environ)
    assert str(note.parent) in str(caught.value)
