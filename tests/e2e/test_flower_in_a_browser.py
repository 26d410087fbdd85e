"""Flower as it is deployed, in Chromium: what an operator sees of runs, and that nothing can be done there."""

from __future__ import annotations

import http.client
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from conftest import free_port
from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright
from support.acl import USERS, GuardedServer
from support.browser import CHROMIUM, FLAGS
from support.farm import Farm, RunMaker, quick, wait_for
from support.flower import PASSWORD, USER, Flower, proxy, status_of

from packhouse.local.server import server_program
from packhouse.producers import publish
from packhouse.schemas.keys import DEFAULT_NAMESPACE

pytestmark = pytest.mark.full

MARKUP = "<img src=x onerror=\"document.title='run'\">"
HIDDEN = "r\u202eun\u200b"
PAGES = ("/", "/workers", "/worker/w1@test", "/tasks", "/broker", "/tasks/datatable", "/api/tasks", "/api/workers")
DEEDS = (
    "worker/shutdown/w1@test", "worker/pool/restart/w1@test", "worker/pool/grow/w1@test", "worker/pool/shrink/w1@test",
    "worker/queue/add-consumer/w1@test?queue=x", "worker/queue/cancel-consumer/w1@test?queue=ranking",
    "task/apply/packhouse.package", "task/async-apply/packhouse.package", "task/send-task/packhouse.package",
    "task/abort/x", "task/revoke/x?terminate=true", "task/timeout/packhouse.package?workername=w1@test&soft=1",
    "task/rate-limit/packhouse.package?workername=w1@test&ratelimit=1",
)  # fmt: skip


@dataclass
class Site:
    """A worker that had work to do, Flower that watched it, and the proxy before it."""

    farm: Farm
    flower: Flower
    url: str
    passwords: list[str]
    browser: Browser

    def page(self, path: str) -> Page:
        """A page of it, seen by someone who may."""
        login = {"username": USER, "password": PASSWORD}
        context = self.browser.new_context(http_credentials=login, viewport={"width": 1600, "height": 900})  # pyright: ignore[reportArgumentType]
        page = context.new_page()
        page.goto(self.url + path)
        return page

    def row(self, page: Page, *texts: str) -> Locator:
        """The row of the table of tasks that holds all of these."""
        rows = page.locator("#tasks-table tbody tr")
        for text in texts:
            rows = rows.filter(has_text=text)
        rows.first.wait_for()
        assert rows.count() == 1, rows.all_inner_texts()
        return rows


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("flower")
    server = GuardedServer(folder / "guarded", free_port(), str(server_program()))
    server.wait()
    farm = Farm(quick(server.url("worker"), DEFAULT_NAMESPACE, folder), folder)
    flower = Flower(folder, farm.environment() | {"PACKHOUSE_REDIS_URL": server.url("flower")})
    try:
        flower.start()
        farm.start()
        with proxy(folder, flower.port) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            site = Site(farm, flower, url, [server.passwords[user] for user in USERS], browser)
            # Whoever is not yet known to Flower would be missed by it.
            wait_for(lambda: "w1@test" in site.page("/").content(), what="the worker in Flower")
            work(farm, server.url("engine"), folder)
            yield site
            browser.close()
    finally:
        flower.stop()
        farm.close()
        server.stop()


def work(farm: Farm, url: str, folder: Path) -> None:
    make_run = RunMaker(folder, Path(__file__).parents[1] / "data")
    runs = [
        make_run("digits-2024-06-01", packages={"type": "Zipfile", "name": "digits"}),
        make_run("half", packages=[{"type": "Zipfile", "name": "half"}, {"type": "AzureMLData", "name": "assets"}]),
        make_run("outside", packages={"type": "Zipfile", "name": "outside"}, out="/elsewhere"),
        make_run(MARKUP, packages={"type": "Zipfile", "name": "hostile"}, out=f"/elsewhere/{MARKUP}"),
        make_run(HIDDEN, out=str(folder / "out" / "hidden")),
    ]
    for run in runs:
        publish(run, url)
        farm.wait_end(run)
    wrong = make_run("wrong").to_wire().replace(b'"m0"', b'"m1"', 1)
    farm.publish(wrong)
    wait_for(lambda: any(final.subject == "wrong" for final in farm.finals()), what="the rejection")


def test_without_a_login_there_is_nothing(site: Site) -> None:
    with pytest.raises(Error, match="INVALID_AUTH_CREDENTIALS"):
        site.browser.new_context().new_page().goto(site.url)
    stranger = site.browser.new_context().request
    guess = {"Authorization": "Basic " + b64encode(f"{USER}:a guess".encode()).decode()}
    for path in (*PAGES, "/task/x", "/api/task/info/x", "/api/queues/length"):
        for headers in ({}, guess):
            answer = stranger.get(site.url + path, headers=headers)
            assert answer.status == 401, path
            assert answer.text() in {"", "Access denied"}, path
    for deed in DEEDS:
        assert stranger.post(f"{site.url}/api/{deed}", headers=guess).status == 401, deed


def test_a_run_is_seen_by_its_name_its_packages_and_its_accelerators(site: Site) -> None:
    page = site.page("/tasks")
    ranking = site.row(page, "packhouse.run_finished", "digits-2024-06-01")
    assert "run digits-2024-06-01 of /test/engine" in ranking.inner_text()
    assert "candidates: 2, packages: 1" in ranking.inner_text()
    package = site.row(page, "packhouse.package", "digits-2024-06-01")
    assert "Zipfile digits of run digits-2024-06-01: 2 models for cpu-cpu" in package.inner_text()
    assert "digits.zip sha256:" in package.inner_text()
    assert package.locator(".badge").inner_text() == "SUCCESS"
    assert package.get_by_role("link", name="w1@test").count() == 1


def test_a_failed_package_is_a_failure_with_its_reason_and_no_traceback(site: Site) -> None:
    page = site.page("/tasks")
    page.get_by_role("button", name="Failed").click()
    failure = site.row(page, "Zipfile outside")
    assert failure.locator(".badge").inner_text() == "FAILURE"
    assert "path_forbidden: /elsewhere lies outside the storage roots" in failure.inner_text()
    assert site.row(page, "AzureMLData assets").locator(".badge").inner_text() == "FAILURE"
    assert page.locator("#tasks-table tbody tr", has_text="Zipfile half").count() == 0
    failure.locator("a[href*='/task/']").click()
    page.wait_for_url("**/task/*")
    told = page.locator(".detail-list").inner_text()
    assert "FAILURE" in told
    assert "path_forbidden: /elsewhere lies outside" in told
    assert "map the engine's path" in told, "what to do about it"
    assert "Traceback" not in told
    assert "JobFailed" not in told


def test_a_rejected_run_is_a_failure_with_its_reason(site: Site) -> None:
    rejected = site.row(site.page("/tasks"), "packhouse.run_finished", "run wrong of")
    assert rejected.locator(".badge").inner_text() == "FAILURE"
    assert "event_invalid: The event is not valid" in rejected.inner_text()


def test_hostile_names_are_shown_and_do_nothing(site: Site) -> None:
    page = site.page("/tasks")
    failure = site.row(page, "Zipfile hostile")
    assert MARKUP in failure.inner_text()
    assert "r[U+202E]un[U+200B]" in site.row(page, "packhouse.run_finished", "[U+202E]").inner_text()
    failure.locator("a[href*='/task/']").click()
    page.wait_for_url("**/task/*")
    assert page.locator(".detail-list").inner_text().count(MARKUP) >= 2, "in the arguments and in the reason"
    assert page.locator("img[src=x]").count() == 0
    assert page.title().endswith("Flower")


def test_nothing_can_be_done(site: Site) -> None:
    page = site.page("/tasks")
    task = site.row(page, "Zipfile digits").locator("a[href*='/task/']").get_attribute("href")
    assert task
    for path in (*PAGES[:5], task):
        shown = site.page(path)
        words = " ".join(shown.locator("button, input[type=submit], a.btn").all_inner_texts())
        for word in ("Shut", "Restart", "Revoke", "Terminate", "Grow", "Shrink", "Rate", "Apply", "Cancel", "Add"):
            assert word.lower() not in words.lower(), path
    sent = "path => fetch(path, {method: 'POST'}).then(answer => answer.status)"
    for deed in DEEDS:
        assert page.evaluate(sent, f"/api/{deed}") in {403, 405}, deed
    assert site.farm.workers[0].process.poll() is None


def test_no_password_is_on_any_page(site: Site) -> None:
    for path in ("/worker/w1@test", "/broker"):
        page = site.page(path)
        text = page.content()
        assert "w1@test" in text or "redis" in text, path
        for password in site.passwords:
            assert password not in text, path
            assert quote(password, safe="") not in text, path


def test_what_flower_tells_everyone_stays_behind_the_proxy(site: Site) -> None:
    assert [status_of(site.flower.url + path) for path in ("/metrics", "/healthcheck")] == [200, 200]
    for path in (
        "/metrics", "/healthcheck", "//metrics", "/./metrics", "/%6detrics", "/metrics?x", "/a/../metrics", "/metrics/",
    ):  # fmt: skip
        connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=10)
        connection.request("GET", path)
        assert connection.getresponse().status == 404, path
        connection.close()


def test_what_was_seen_outlives_a_kill(site: Site) -> None:
    kept = site.flower.folder / "flower-db"
    wait_for(lambda: any(b"Zipfile digits" in part.read_bytes() for part in kept.parent.glob("flower-db*")),
             what="Flower to write down what it saw")  # fmt: skip
    site.flower.kill()
    assert status_of(f"{site.url}/") == 502
    site.flower.start()
    page = site.page("/tasks")
    assert "digits.zip" in site.row(page, "packhouse.package", "Zipfile digits").inner_text()
    assert "path_forbidden" in site.row(page, "Zipfile outside").inner_text()
