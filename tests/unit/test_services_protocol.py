"""The door speaks the real protocol: Google's and OpenAI's own client programs understand it, also when it refuses."""

import os

import pytest

from helpers.services.door import open_door

WISH = "Write a quatrain that begins with 「明月」"


def package(name):
    """The package, which tests/requirements.txt asks for."""
    return __import__(name, fromlist=["x"]) if os.environ.get("CI") == "true" else pytest.importorskip(name)


@pytest.fixture(scope="module")
def door():
    door = open_door(minute=1)
    yield door
    door.close()


@pytest.fixture
def google(door, monkeypatch):
    genai, door.types = package("google.genai"), package("google.genai.types")
    door.errors = package("google.genai.errors")
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    door.tell(limits={}, faults=[])

    def client(key=None, **options):
        http = door.types.HttpOptions(base_url=door.url, timeout=5000, **options)
        return genai.Client(api_key=key or door.key.reveal(), http_options=http)

    return client


def ask(client, contents=WISH, model="stand-in-text", **settings):
    return client.models.generate_content(model=model, contents=contents, config=settings or None)


def test_google_text(google):
    client = google()
    answer = ask(client, temperature=0)
    assert answer.text.startswith("明月") and answer.text == ask(client, temperature=0).text
    assert answer.candidates[0].finish_reason.name == "STOP" and "stand-in" in answer.model_version
    assert answer.usage_metadata.total_token_count == answer.usage_metadata.prompt_token_count + 20
    short = ask(client, max_output_tokens=7, temperature=0)
    assert short.candidates[0].finish_reason.name == "MAX_TOKENS" and answer.text.startswith(short.text)
    assert ask(client, seed=3).text == ask(client, seed=3).text
    names = [model.name for model in client.models.list()]
    assert "models/stand-in-text" in names and len(names) == 3


def test_google_stream(google):
    client = google()
    pieces = list(
        client.models.generate_content_stream(model="stand-in-text", contents=WISH, config={"temperature": 0})
    )
    assert len(pieces) == 20 and "".join(piece.text for piece in pieces) == ask(client, temperature=0).text
    assert pieces[-1].candidates[0].finish_reason.name == "STOP" and pieces[0].candidates[0].finish_reason is None


def test_google_pictures(google, door):
    client = google()
    first = ask(client, "a figurine", "stand-in-picture")
    picture = first.candidates[0].content.parts[1].inline_data
    assert (
        picture.mime_type == "image/png"
        and picture.data.startswith(b"\x89PNG")
        and first.candidates[0].content.parts[0].text
    )
    part = door.types.Part.from_bytes(data=picture.data, mime_type="image/png")
    both = ask(client, ["the two", part, part], "stand-in-picture")
    assert both.candidates[0].content.parts[1].inline_data.data.startswith(b"\x89PNG")
    door.tell(faults=["no picture"])
    none = ask(client, "a figurine", "stand-in-picture")
    assert none.candidates[0].finish_reason.name == "NO_IMAGE" and none.candidates[0].content.parts[0].text


def test_google_blocked(google, door):
    client = google()
    door.tell(faults=["blocked question", "blocked answer"])
    question, answer = ask(client), ask(client)
    assert question.prompt_feedback.block_reason.name == "PROHIBITED_CONTENT" and not question.candidates
    assert answer.candidates[0].finish_reason.name == "SAFETY" and not answer.text


REFUSED = [
    (400, "INVALID_ARGUMENT", {"key": "somebody-elses-key-012345"}, {}, "API key not valid"),
    (404, "NOT_FOUND", {}, {"model": "gone"}, "is not found for API version"),
    (429, "RESOURCE_EXHAUSTED", {}, {"model": "stand-in-picture-free"}, "limit: 0"),
    (400, "INVALID_ARGUMENT", {}, {"contents": "字" * 20001}, "exceeds the maximum number of tokens"),
    (503, "UNAVAILABLE", {"faults": ["503"]}, {}, "overloaded"),
]


@pytest.mark.parametrize("code, status, how, asked, says", REFUSED, ids=lambda value: str(value)[:20])
def test_google_refusals(google, door, code, status, how, asked, says):
    door.tell(faults=how.get("faults", []))
    client = google(how.get("key"))
    with pytest.raises(door.errors.APIError) as caught:
        ask(client, **{"contents": WISH, **asked})
    assert (caught.value.code, caught.value.status) == (code, status) and says in caught.value.message
    assert type(caught.value).__name__ == ("ServerError" if code == 503 else "ClientError")


def test_google_a_leaked_key_and_a_line_that_drops(google, door):
    former = google()
    door.tell(revoke=True)
    with pytest.raises(door.errors.ClientError, match="reported as leaked"):
        ask(former)
    door.tell(faults=["drop"])
    client = google()
    with pytest.raises(Exception, match=r"(?i)disconnected|closed"):
        ask(client)


def test_google_asks_again_only_if_told_to_and_then_also_for_a_quota_of_0(google, door):
    door.tell(faults=["503", "503"], limits={})
    with pytest.raises(door.errors.ServerError):
        ask(google())
    assert door.tell(faults=[])["requests"] == 1
    retry = door.types.HttpRetryOptions(attempts=3, initial_delay=0.01, max_delay=0.02)
    client = google(retry_options=retry)
    with pytest.raises(door.errors.ClientError):
        ask(client, model="stand-in-picture-free")
    assert door.tell()["requests"] == 4


@pytest.fixture
def openai(door):
    door.openai = package("openai")
    door.tell(limits={}, faults=[])

    def client(**options):
        return door.openai.OpenAI(
            base_url=f"{door.url}/v1beta/openai/",
            **{"api_key": door.key.reveal(), "max_retries": 0, "timeout": 5, **options},
        )

    return client


def chat(client, **more):
    return client.chat.completions.create(
        **{"model": "stand-in-text", "messages": [{"role": "user", "content": WISH}], "temperature": 0, **more}
    )


def test_openai_text_and_stream(openai):
    client = openai()
    answer = chat(client)
    text = answer.choices[0].message.content
    assert text.startswith("明月") and answer.choices[0].finish_reason == "stop" and "stand-in" in answer.model
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert chat(client, max_tokens=7).choices[0].finish_reason == "length"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chat(client, stream=True)]
    assert "".join(pieces) == text and len(pieces) == 20
    parts = [{"role": "user", "content": [{"type": "text", "text": WISH}]}]
    assert chat(client, messages=parts).choices[0].message.content == text
    assert "stand-in-text" in [model.id for model in client.models.list()]


def test_openai_refusals(openai, door):
    for error, client, more in [
        (door.openai.BadRequestError, openai(api_key="somebody-elses-key-012345"), {}),
        (door.openai.NotFoundError, openai(), {"model": "gone"}),
        (door.openai.RateLimitError, openai(), {"model": "stand-in-picture-free"}),
        (door.openai.BadRequestError, openai(), {"messages": [{"role": "user", "content": ""}]}),
    ]:
        with pytest.raises(error):
            chat(client, **more)
    door.tell(faults=["503"])
    with pytest.raises(door.openai.InternalServerError):
        chat(openai())


def test_openai_asks_three_times_for_a_quota_of_0(openai, door):
    with pytest.raises(door.openai.RateLimitError):
        chat(openai(max_retries=2), model="stand-in-picture-free")
    assert door.tell()["requests"] == 3
