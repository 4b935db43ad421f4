"""Settings: what is read, what is refused, and that no complaint repeats a value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ConfigurationError
from bot.forges.logins import Logins
from bot.logs import LogFormat
from bot.service_settings import Settings
from bot.settings import KNOWN, Lookups, variables

SECRET = "It's a Secret to Everybody"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nTUlJRQ==\nTUlJRQ==\n-----END RSA PRIVATE KEY-----\n"
SIGNING = f"whsec_{'QUJD' * 8}"


class TestLookups:
    def test_nothing_set(self) -> None:
        assert Lookups.from_environ({}) == Lookups()

    def test_everything_set(self) -> None:
        lookups = Lookups.from_environ(
            {
                "MOORLINE_REGISTRY_MIRRORS": '{"Docker.io": "http://127.0.0.1:5000/", "*": "https://m.example/{registry}"}',
                "MOORLINE_GIT_MIRRORS": '{"github.com": "http://127.0.0.1:5001/git"}',
                "MOORLINE_GIT_CREDENTIALS": '{"https://git.example/acme": "bot:to:ken"}',
                "MOORLINE_REGISTRY_REALMS": '{"https://r.example": "https://auth.example"}',
                "MOORLINE_CA_BUNDLE": "/etc/ca.pem",
                "MOORLINE_EGRESS_ALLOW": "http://127.0.0.1:5000, https://Registry.Internal/ http://[::1]:80",
                "MOORLINE_GITHUB_URL": "https://GHE.example:8443/api/v3",
                "MOORLINE_GITLAB_URL": "https://gitlab.example/",
                "HOME": "/home/u",
            }
        )
        assert lookups == Lookups(
            registry_mirrors={"docker.io": "http://127.0.0.1:5000", "*": "https://m.example/{registry}"},
            git_mirrors={"github.com": "http://127.0.0.1:5001/git"},
            git_logins=Logins(entries=(("https://git.example/acme", "bot", "to:ken"),)),
            registry_realms={"https://r.example": ("https://auth.example",)},
            ca_bundle="/etc/ca.pem",
            allowed=("http://127.0.0.1:5000", "https://registry.internal:443", "http://[::1]:80"),
            github_url="https://GHE.example:8443/api/v3",
            gitlab_url="https://gitlab.example/",
            github_host="ghe.example:8443",
            gitlab_host="gitlab.example",
            docker_config=Path("/home/u/.docker/config.json"),
        )

    def test_a_login_is_never_shown(self) -> None:
        environ = {"MOORLINE_GIT_CREDENTIALS": '{"https://git.example": "bot:hunter2"}'}
        lookups = Lookups.from_environ(environ)
        assert lookups.git_logins.login("https://git.example/a") == ("bot", "hunter2")
        for shown in (repr(lookups), str(lookups), repr(lookups.git_logins), f"{lookups.git_logins}"):
            assert "hunter2" not in shown

    def test_docker_s_own_variable_wins(self) -> None:
        lookups = Lookups.from_environ({"HOME": "/home/u", "DOCKER_CONFIG": "/etc/docker"})
        assert lookups.docker_config == Path("/etc/docker/config.json")

    def test_github_s_api_is_github(self) -> None:
        environ = {"MOORLINE_GITHUB_URL": "https://api.github.com"}
        assert Lookups.from_environ(environ).github_host == "github.com"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MOORLINE_REGISTRY_MIRRORS", "hunter2"),
            ("MOORLINE_GIT_CREDENTIALS", "hunter2"),
            ("MOORLINE_GIT_CREDENTIALS", '["https://h/hunter2"]'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h": "hunter2"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h": ":hunter2"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h": "hunter2:"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h": "a:hunter2\\n"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h": "a:hunter2\u00e9"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h": ["a", "hunter2"]}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"h": "a:hunter2"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://a:hunter2@h": "a:b"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h/a/../hunter2": "a:b"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"https://h/%2e/hunter2": "a:b"}'),
            ("MOORLINE_GIT_CREDENTIALS", '{"ssh://h": "a:hunter2"}'),
            ("MOORLINE_REGISTRY_MIRRORS", '["hunter2"]'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": 1}'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": "hunter2"}'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"": "https://hunter2"}'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": "https://u:hunter2@h"}'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": "https://h/?hunter2"}'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": "ftp://hunter2"}'),
            ("MOORLINE_REGISTRY_MIRRORS", '{"docker.io": "https://h:99999/hunter2"}'),
            ("MOORLINE_REGISTRY_MIRRORS", "[" * 100_000),
            ("MOORLINE_GIT_MIRRORS", '{"github.com": "https://[hunter2"}'),
            ("MOORLINE_REGISTRY_REALMS", '{"https://h": [1]}'),
            ("MOORLINE_CREDENTIAL_OWNERS", '{"ghcr.io": "hunter2"}'),
            ("MOORLINE_CREDENTIAL_OWNERS", '{"ghcr.io": [""]}'),
            ("MOORLINE_REGISTRY_REALMS", '{"h": ["https://hunter2"]}'),
            ("MOORLINE_EGRESS_ALLOW", "hunter2"),
            ("MOORLINE_EGRESS_ALLOW", "https://h/hunter2"),
            ("MOORLINE_EGRESS_ALLOW", "https://hunter2@h"),
            ("MOORLINE_EGRESS_ALLOW", "https://*.hunter2:0"),
            ("MOORLINE_GITHUB_URL", "hunter2"),
            ("MOORLINE_GITLAB_URL", "https://u:hunter2@h"),
        ],
    )
    def test_a_wrong_one_is_named_and_not_repeated(self, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Lookups.from_environ({name: value})
        assert caught.value.key == name
        assert caught.value.expected
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None

    @given(st.sampled_from(sorted(KNOWN)), st.text())
    def test_any_text_is_read_or_refused_by_name(self, name: str, value: str) -> None:
        keys = {name}
        for read in (Lookups.from_environ, Settings.from_environ):
            try:
                read({name: value})
            except ConfigurationError as error:
                keys.add(error.key)
        assert keys == {name}

    def test_importing_costs_nothing(self) -> None:
        heavy = {"pydantic", "pydantic_settings", "tomllib", "sqlalchemy", "structlog", "json"}
        code = f"import sys, bot.settings; print(sorted({heavy} & set(sys.modules)))"
        root = Path(__file__).parent.parent
        done = subprocess.run(
            [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"


class TestSettings:
    def test_nothing_set(self) -> None:
        settings = Settings.from_environ({})
        assert settings.database_url.get_secret_value() == "sqlite:///moorline.db"
        assert (settings.host, settings.port, settings.git_webhook_secret) == ("127.0.0.1", 8000, ())
        assert settings.shows_pages

    def test_everything_set(self) -> None:
        settings = Settings.from_environ(
            {
                "MOORLINE_DATABASE_URL": "postgresql://u:p@h/d",
                "MOORLINE_PUBLIC_URL": "https://moorline.example/",
                "MOORLINE_HOST": "0.0.0.0",
                "MOORLINE_PORT": "80",
                "MOORLINE_MAX_BODY": "1024",
                "MOORLINE_GIT_WEBHOOK_SECRET": SECRET,
                "MOORLINE_GIT_REPOSITORIES": '{"acme/app": "https://git.example/acme/app.git"}',
                "MOORLINE_GIT_ROOTS": '["/srv/git", "/home/git"]',
                "MOORLINE_CONCURRENCY": "8",
                "MOORLINE_DRAIN_SECONDS": "5",
                "MOORLINE_RETENTION_DAYS": "7",
                "MOORLINE_LOG_FORMAT": "json",
                "MOORLINE_PAGES": "true",
                "MOORLINE_GITHUB_APP_ID": "4100",
                "MOORLINE_GITHUB_PRIVATE_KEY": PEM,
                "MOORLINE_GITHUB_WEBHOOK_SECRET": f'["{SECRET} of github", "{SECRET} of last week"]',
                "MOORLINE_GITLAB_TOKEN": "glpat-1234567890",
                "MOORLINE_GITLAB_WEBHOOK_SECRET": f'{{"acme": "{SECRET} a", "tools": ["{SECRET} b", "{SECRET} c"]}}',
                "MOORLINE_GITLAB_SIGNING_TOKEN": SIGNING,
                "MOORLINE_ALLOWED_OWNERS": "acme, gitlab:group/sub",
            }
        )
        assert settings.github_app_id == "4100"
        assert settings.github_key() == PEM.strip()
        assert [one.get_secret_value() for one in settings.github_webhook_secret] == [
            f"{SECRET} of github",
            f"{SECRET} of last week",
        ]
        assert settings.gitlab_token.get_secret_value() == "glpat-1234567890"
        assert {hook: len(several) for hook, several in settings.gitlab_webhook_secret.items()} == {
            "acme": 1,
            "tools": 2,
        }
        assert [one.get_secret_value() for one in settings.gitlab_signing_token[""]] == [SIGNING]
        assert settings.owners.entries == ("acme", "gitlab:group/sub")
        for secret in set(settings.secrets()) - {"p"}:
            assert secret not in repr(settings)
        assert len(settings.secrets()) == 10
        assert [secret.get_secret_value() for secret in settings.git_webhook_secret] == [SECRET]
        assert settings.git_roots == ("/srv/git", "/home/git")
        assert settings.git_repositories == {"acme/app": "https://git.example/acme/app.git"}
        assert settings.log_format is LogFormat.JSON
        assert settings.public_url == "https://moorline.example"
        assert SECRET not in repr(settings)
        assert "u:p" not in repr(settings)

    def test_a_private_key_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "app.pem"
        settings = Settings.from_environ({"MOORLINE_GITHUB_PRIVATE_KEY": str(file)})
        for content in (None, b"", b"hunter2", b"\xff", PEM.encode() * 3000, PEM.encode() + b"hunter2"):
            if content is not None:
                file.write_bytes(content)
            with pytest.raises(ConfigurationError) as caught:
                settings.github_key()
            assert caught.value.key == "MOORLINE_GITHUB_PRIVATE_KEY"
            assert "hunter2" not in str(caught.value)
            assert str(file) in str(caught.value)
        file.write_text(PEM)
        assert settings.github_key() == PEM
        assert settings.secrets() == ()

    def test_a_private_key_in_one_line(self) -> None:
        settings = Settings.from_environ({"MOORLINE_GITHUB_PRIVATE_KEY": PEM.replace("\n", "\\n")})
        assert settings.github_key() == PEM

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("GIT_WEBHOOK_SECRET", SECRET),
            ("GITHUB_WEBHOOK_SECRET", SECRET),
            ("GITLAB_WEBHOOK_SECRET", SECRET),
            ("GITLAB_SIGNING_TOKEN", SIGNING),
        ],
    )
    def test_a_secret_turns_a_hook_on(self, name: str, value: str) -> None:
        assert not Settings.from_environ({}).receives
        assert Settings.from_environ({f"MOORLINE_{name}": value}).receives

    def test_no_private_key(self) -> None:
        assert Settings.from_environ({}).github_key() == ""

    def test_secrets_for_every_hook(self) -> None:
        settings = Settings.from_environ({"MOORLINE_GITLAB_WEBHOOK_SECRET": f'["{SECRET}", "{SECRET} b"]'})
        assert [one.get_secret_value() for one in settings.gitlab_webhook_secret[""]] == [
            SECRET,
            f"{SECRET} b",
        ]
        assert Settings.from_environ({"MOORLINE_ALLOWED_OWNERS": '["acme"]'}).owners.entries == ("acme",)
        assert Settings.from_environ({}).owners.serves("github", "anybody/app")

    def test_short_forms(self) -> None:
        settings = Settings.from_environ(
            {
                "MOORLINE_GIT_WEBHOOK_SECRET": f'["{SECRET}", "{SECRET} of last week"]',
                "MOORLINE_GIT_REPOSITORIES": '["/srv/git/app.git"]',
                "MOORLINE_GIT_ROOTS": "/srv/git",
                "MOORLINE_PORT": " ",
            }
        )
        assert len(settings.git_webhook_secret) == 2
        assert settings.git_repositories == {"/srv/git/app.git": "/srv/git/app.git"}
        assert settings.git_roots == ("/srv/git",)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PORT", "hunter2"),
            ("PORT", "65536"),
            ("MAX_BODY", "1"),
            ("CONCURRENCY", "0"),
            ("RETENTION_DAYS", "nan"),
            ("LOG_FORMAT", "hunter2"),
            ("PAGES", "hunter2"),
            ("PUBLIC_URL", "hunter2"),
            ("PUBLIC_URL", "https://u:hunter2@h"),
            ("GIT_WEBHOOK_SECRET", "hunter2"),
            ("GIT_WEBHOOK_SECRET", f'["{SECRET}", "hunter2"]'),
            ("GIT_WEBHOOK_SECRET", '["hunter2'),
            ("GITHUB_WEBHOOK_SECRET", "hunter2"),
            ("GITHUB_WEBHOOK_SECRET", f'["{SECRET}", "hunter2"]'),
            ("GITHUB_APP_ID", "hunter 2"),
            ("GITHUB_APP_ID", "hunter2"),
            ("GITHUB_PRIVATE_KEY", "hunter2"),
            ("GITHUB_PRIVATE_KEY", PEM.replace("RSA PRIVATE", "ENCRYPTED PRIVATE")),
            ("GITHUB_PRIVATE_KEY", PEM.replace("TUlJRQ==", "hunter2!")),
            ("GITLAB_TOKEN", "hunter2 and more"),
            ("GITLAB_TOKEN", "hunter2"),
            ("GITLAB_WEBHOOK_SECRET", "hunter2"),
            ("GITLAB_WEBHOOK_SECRET", "[]"),
            ("GITLAB_WEBHOOK_SECRET", "{}"),
            ("GITLAB_WEBHOOK_SECRET", '{"acme": "hunter2"}'),
            ("GITLAB_WEBHOOK_SECRET", f'{{"": "{SECRET}"}}'),
            ("GITLAB_WEBHOOK_SECRET", f'{{"hunter2/../x": "{SECRET}"}}'),
            ("GITLAB_WEBHOOK_SECRET", f'{{"acme": {{"hunter2": "{SECRET}"}}}}'),
            ("GITLAB_WEBHOOK_SECRET", f'{{"acme": [], "b": "{SECRET}"}}'),
            ("GITLAB_WEBHOOK_SECRET", f"{SECRET} \u00fc"),
            ("GITLAB_WEBHOOK_SECRET", "{" * 100_000),
            ("GITLAB_WEBHOOK_SECRET", '{"a":' * 100_000),
            ("GITLAB_SIGNING_TOKEN", "hunter2"),
            ("GITLAB_SIGNING_TOKEN", SIGNING.removeprefix("whsec_")),
            ("GITLAB_SIGNING_TOKEN", "whsec_hunter2"),
            ("GITLAB_SIGNING_TOKEN", f'{{"acme": ["{SIGNING}", "hunter2"]}}'),
            ("GITLAB_SIGNING_TOKEN", f"{SIGNING}\u00fc"),
            ("ALLOWED_OWNERS", "[]"),
            ("ALLOWED_OWNERS", ","),
            ("ALLOWED_OWNERS", "https://hunter2"),
            ("ALLOWED_OWNERS", "*"),
            ("ALLOWED_OWNERS", "hunter2:acme"),
            ("ALLOWED_OWNERS", "acme/"),
            ("ALLOWED_OWNERS", '["hunter2", 7]'),
            ("ALLOWED_OWNERS", '{"hunter2": 1}'),
            ("GIT_ROOTS", "hunter2"),
            ("GIT_ROOTS", "/"),
            ("GIT_REPOSITORIES", "hunter2"),
            ("GIT_REPOSITORIES", '{"a": "https://u:hunter2@h/x"}'),
            ("GIT_REPOSITORIES", '{"a": "ssh://git:hunter2@h/x"}'),
            ("GIT_REPOSITORIES", '{"a": "https://h/x.git?access_token=hunter2"}'),
            ("GIT_REPOSITORIES", '{"a": "https://h/x.git#hunter2"}'),
            ("GIT_REPOSITORIES", '["https://h/x.git?private_token=hunter2"]'),
            ("GIT_REPOSITORIES", "https://h/x.git?hunter2"),
            ("GIT_REPOSITORIES", '{"a": "ssh://git@h/x?hunter2"}'),
            ("GIT_REPOSITORIES", '{"a": "file:///x?hunter2"}'),
            ("GIT_REPOSITORIES", '{"a": "file://u:hunter2@h/x"}'),
            ("GIT_REPOSITORIES", '{"a": "ext::sh -c hunter2"}'),
            ("GIT_REPOSITORIES", '{"a": "--upload-pack=hunter2"}'),
            ("GIT_REPOSITORIES", '{"a": ["hunter2"]}'),
            ("GIT_REPOSITORIES", "[[1]]"),
            ("GIT_REPOSITORIES", "[" * 100_000),
            ("GIT_ROOTS", "[" * 100_000),
        ],
    )
    def test_a_wrong_one_is_named_and_not_repeated(self, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_environ({f"MOORLINE_{name}": value})
        assert caught.value.key == f"MOORLINE_{name}"
        assert caught.value.expected
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_dotenv_of_the_folder_we_stand_in_is_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".env").write_text("MOORLINE_PORT=1\nPORT=2\nport=3\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PORT", "4")
        monkeypatch.setenv("MOORLINE_PORT", "5")
        assert Settings.from_environ({}).port == 8000

    @pytest.mark.parametrize(
        ("environ", "shown"),
        [
            ({"MOORLINE_HOST": "0.0.0.0"}, False),
            ({"MOORLINE_HOST": "::1"}, True),
            ({"MOORLINE_HOST": "moorline.internal"}, False),
            ({"MOORLINE_PUBLIC_URL": "https://moorline.example"}, False),
            ({"MOORLINE_PUBLIC_URL": "http://localhost:8000"}, True),
            ({"MOORLINE_HOST": "0.0.0.0", "MOORLINE_PAGES": "yes"}, True),
            ({"MOORLINE_PAGES": "off"}, False),
        ],
    )
    def test_pages_are_for_this_machine_unless_said(self, environ: dict[str, str], *, shown: bool) -> None:
        assert Settings.from_environ(environ).shows_pages is shown

    def test_every_variable_is_known(self) -> None:
        service = {f"MOORLINE_{name.upper()}" for name in Settings.model_fields}
        lookups = {
            "MOORLINE_REGISTRY_MIRRORS",
            "MOORLINE_GIT_MIRRORS",
            "MOORLINE_REGISTRY_REALMS",
            "MOORLINE_CREDENTIAL_OWNERS",
            "MOORLINE_CA_BUNDLE",
            "MOORLINE_POLICY",
            "MOORLINE_EGRESS_ALLOW",
            "MOORLINE_GIT_CREDENTIALS",
            "MOORLINE_GITHUB_URL",
            "MOORLINE_GITLAB_URL",
        }
        assert service | lookups == KNOWN
        # Where a forge is concerns both: its own references, and its API.
        assert service & lookups <= {"MOORLINE_GITHUB_URL", "MOORLINE_GITLAB_URL"}


class TestFile:
    def test_toml(self, tmp_path: Path) -> None:
        file = tmp_path / "moorline.toml"
        file.write_text(
            'port = 9000\npages = true\nhost = "::1"\ngit_roots = ["/srv/git"]\n'
            '[registry_mirrors]\n"docker.io" = "http://127.0.0.1:5000"\n'
        )
        said = variables({"MOORLINE_HOST": "127.0.0.2"}, file)
        settings = Settings.from_environ(said)
        assert (settings.port, settings.pages, settings.host) == (9000, True, "127.0.0.2")
        assert settings.git_roots == ("/srv/git",)
        assert Lookups.from_environ(said).registry_mirrors == {"docker.io": "http://127.0.0.1:5000"}

    def test_lines(self, tmp_path: Path) -> None:
        file = tmp_path / "moorline.env"
        file.write_bytes(
            b"\xef\xbb\xbf# ours\n\nMOORLINE_PORT=9000\r\nexport MOORLINE_HOST='::1'\n"
            b'MOORLINE_GIT_WEBHOOK_SECRET="' + SECRET.encode() + b'"\n'
        )
        settings = Settings.from_environ(variables({}, file))
        assert (settings.port, settings.host) == (9000, "::1")
        assert settings.git_webhook_secret[0].get_secret_value() == SECRET

    def test_without_one_the_environment_alone_counts(self) -> None:
        assert variables({"A": "b"}) == {"A": "b"}

    @pytest.mark.parametrize(
        ("name", "content", "place", "expected"),
        [
            ("x.toml", b"prot = 1", "prot", "port"),
            ("x.toml", b"PORT = 1", "PORT", "port"),
            ("x.toml", b"port = ", "x.toml", ""),
            ("x.toml", b"port = 2026-01-01", "port", "a text, number, list or table"),
            ("x.toml", b"git_roots = [2026-01-01]", "git_roots", ""),
            ("x.toml", b"a" * (1024 * 1024 + 1), "larger", ""),
            ("x.env", b"MOORLINE_PROT=1", "x.env:1", "MOORLINE_PORT=value"),
            ("x.env", b"\nhunter2", "x.env:2", "MOORLINE_NAME=value"),
            ("x.env", b"PATH=/hunter2", "x.env:1", "MOORLINE_"),
            ("x.env", b"\xff", "UTF-8", ""),
        ],
    )
    def test_a_wrong_file_says_where(
        self, tmp_path: Path, name: str, content: bytes, place: str, expected: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            variables({}, tmp_path / name)
        assert place in str(caught.value)
        assert expected in caught.value.expected
        assert "hunter2" not in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"missing\.toml"):
            variables({}, tmp_path / "missing.toml")


# --- a forge of which a part is set -------------------------------------------------------

_APP, _KEY, _HUB = ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET")
_TOKEN, _SIGN, _PLAIN = ("GITLAB_TOKEN", "GITLAB_SIGNING_TOKEN", "GITLAB_WEBHOOK_SECRET")
_VALUES = {_APP: "7", _KEY: PEM, _HUB: SECRET, _TOKEN: "glpat-for-tests", _SIGN: SIGNING, _PLAIN: SECRET}


def _part(*names: str) -> Settings:
    return Settings.from_environ({f"MOORLINE_{name}": _VALUES[name] for name in names})


@pytest.mark.parametrize(
    ("names", "receives", "works", "missing"),
    [
        ((_HUB,), True, True, f"{_APP} and MOORLINE_{_KEY}: is not set, and MOORLINE_{_HUB} is"),
        ((_HUB,), False, True, f"{_APP} and MOORLINE_{_KEY}: is not set"),
        ((_APP, _HUB), True, True, f"{_KEY}: is not set, and MOORLINE_{_APP} is"),
        ((_KEY,), False, True, f"{_APP}: is not set, and MOORLINE_{_KEY} is"),
        ((_APP, _KEY), True, True, f"{_HUB}: is not set, and MOORLINE_{_APP} is"),
        ((_TOKEN,), True, True, f"{_SIGN}: is not set, and MOORLINE_{_TOKEN} is"),
        ((_SIGN,), True, True, f"{_TOKEN}: is not set, and MOORLINE_{_SIGN} is"),
        ((_PLAIN,), False, True, f"{_TOKEN}: is not set, and MOORLINE_{_PLAIN} is"),
        ((_APP, _KEY, _HUB, _TOKEN), True, True, f"{_SIGN}: is not set"),
    ],
)
def test_half_a_forge_names_what_is_missing(
    names: tuple[str, ...], receives: bool, works: bool, missing: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _part(*names).check_whole(receives=receives, works=works)
    assert str(caught.value).startswith(f"MOORLINE_{missing}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "receives", "works"),
    [
        ((), True, True),
        ((_APP, _KEY, _HUB, _TOKEN, _PLAIN), True, True),
        ((_APP, _KEY, _TOKEN), False, True),
        ((_HUB, _SIGN), True, False),
        ((_HUB, _APP), True, False),
    ],
)
def test_a_process_needs_its_own_part_alone(names: tuple[str, ...], receives: bool, works: bool) -> None:
    _part(*names).check_whole(receives=receives, works=works)
    assert _part(*names).github_app_id == ("7" if _APP in names else "")
