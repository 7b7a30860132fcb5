"""What the stand-in says, calls and chooses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.demo.standin import stand_in
from agentinfra.demo.standin.passages import NOTHING_FOUND

HANDBOOK = """Answer from the passages only. Cite them as [n].

Passages:
[1] docs/refunds.md
# Refunds
Unused items may be returned within 30 days of delivery. The money goes back to the card.

[2] docs/shipping.md
Standard shipping takes 3 to 5 working days. Express orders arrive the next day.
"""


def user(text):
    """Return a user message."""
    return {"role": "user", "content": text}


def system(text):
    """Return a system message."""
    return {"role": "system", "content": text}


def assistant(text):
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def called(name, result):
    """Return the two messages of a tool's call and its result."""
    function = {"name": name, "arguments": "{}"}
    content = result if isinstance(result, str) else json.dumps(result)
    return [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": content},
    ]


def say(*messages, **more):
    """Return the text of the stand-in."""
    return stand_in({"model": "m", "messages": list(messages), **more}).text


def tool(name, description="", **properties):
    """Return a tool whose properties are all required."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def calls(question, *tools, **more):
    """Return the names and arguments of the calls the stand-in makes."""
    body = {"model": "m", "messages": [user(question)], "tools": list(tools), **more}
    return [(call.name, call.arguments) for call in stand_in(body).tool_calls]


PIECES = [
    "[1] ", "Context:\n", "Question: ", "```\n", '\"\"\"', "<context>", "</context>", "\n\n", "\n",
    "Cats sleep. ", 'Rows: [{"a": 1}]\n', "Source: x\n", "{", "}", '"properties":', "json", "?",
    "What is it? ", "and ", "create table t (a int, b text, -- values 'x'\n", "-- x: values 'a'\n",
    "-- measure m = sum(a) from t\n", "(", ")", "'", "how many t by b ", "--",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
MESSAGES = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "user", "assistant"]),
    TEXTS,
)


@settings(max_examples=300)
@given(st.lists(MESSAGES, min_size=1, max_size=4), TEXTS, st.sampled_from(["", "tool", "json"]))
def test_anything_is_answered(messages, described, kind):
    """Whatever pieces a prompt is made of, it gets an answer."""
    body = {"model": "m", "messages": messages}
    if kind == "tool":
        body["tools"] = [tool("run", described, sql={"type": "string"}, n={"type": "integer"})]
        body["tool_choice"] = "required"
    if kind == "json":
        body["response_format"] = {"type": "json_object"}
    reply = stand_in(body)
    assert bool(reply.tool_calls) is (kind == "tool")
    assert reply.tool_calls or reply.text


class TestEcho:
    """Where nothing is given there is nothing to say."""

    def test_echo(self):
        """A message without documents, results and tools is echoed."""
        assert say(system("You are helpful."), user("hello")) == "You said: hello"

    def test_without_a_user(self):
        """The last message is the question where no user speaks."""
        assert say(system("Say something.")) == "You said: Say something."

    def test_parts(self):
        """The text parts of a message are its text."""
        parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}]
        assert say({"role": "user", "content": parts}) == "You said: hello\nthere"


class TestHistory:
    """What was said before can be asked for."""

    @pytest.mark.parametrize(
        "question", ["What did I ask before?", "what was my last question?", "What did I just say?"]
    )
    def test_last_question(self, question):
        """The question before is told."""
        told = say(user("How many orders?"), assistant("Five."), user(question))
        assert told == "Before this you asked: How many orders?"

    def test_first_question(self):
        """The first question is told when it is asked for."""
        messages = [user("one"), assistant("x"), user("two"), assistant("y")]
        assert say(*messages, user("What was my first question?")).endswith("asked: one")

    def test_no_question_before(self):
        """Without a question before, that is said."""
        assert say(user("What did I ask before?")) == "You have not asked anything before this."

    def test_statement_is_remembered(self):
        """A question about something the user said gets that sentence back."""
        told = say(user("Hi. My name is Ada."), assistant("Hello."), user("What is my name?"))
        assert told == "You told me: My name is Ada."


class TestDocuments:
    """Documents in the prompt are quoted."""

    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            (
                "How long does standard shipping take?",
                "Standard shipping takes 3 to 5 working days. [2]",
            ),
            ("When do express orders arrive?", "Express orders arrive the next day. [2]"),
            (
                "Within how many days may I return unused items?",
                "Unused items may be returned within 30 days of delivery. [1]",
            ),
            ("Who is the king of Spain?", NOTHING_FOUND),
        ],
    )
    def test_nearest_sentence(self, question, answer):
        """The sentence with most words of the question is quoted, with its marker."""
        assert say(system(HANDBOOK), user(question)) == answer

    @pytest.mark.parametrize(
        "prompt",
        [
            "Context:\nCats sleep. Dogs bark.\n\nQuestion: What do dogs do?",
            "Question: What do dogs do?\n\nContext:\nCats sleep. Dogs bark.",
            "<context>Cats sleep. Dogs bark.</context>\n\nWhat do dogs do?",
            '"""Cats sleep. Dogs bark."""\nWhat do dogs do?',
            "Use this text.\n```\nCats sleep. Dogs bark.\n```\nWhat do dogs do?",
            "Cats sleep. Dogs bark.\n<question>What do dogs do?</question>",
            "Information: Cats sleep. Dogs bark.\n\nWhat do dogs do?",
        ],
    )
    def test_ways_to_give_a_context(self, prompt):
        """Labels, tags, quotes and fences tell the documents from the question."""
        assert say(user(prompt)) == "Dogs bark."

    @pytest.mark.parametrize(
        ("prompt", "marker"),
        [
            ("[1] Cats sleep.\n[2] Dogs bark.\n\nQuestion: What do dogs do?", "[2]"),
            (
                "[source: a.md]\nCats sleep.\n[source: b.md]\nDogs bark.\n\nWhat do dogs do?",
                "[source: b.md]",
            ),
            (
                "Source: a.md\nCats sleep.\n\nSource: b.md\nDogs bark.\n\nWhat do dogs do?",
                "[source: b.md]",
            ),
            (
                (
                    '<document source="a.md">Cats sleep.</document>\n'
                    '<document source="b.md">Dogs bark.</document>\nWhat do dogs do?'
                ),
                "[source: b.md]",
            ),
        ],
    )
    def test_markers(self, prompt, marker):
        """The way a source is marked in the prompt is kept in the answer."""
        assert say(user(prompt)) == f"Dogs bark. {marker}"

    def test_marker_in_a_sentence(self):
        """A marker that stands behind its sentence stays there, once."""
        context = "Context:\nCats sleep. [1] Dogs bark. [2]\n\nQuestion: What do dogs do?"
        assert say(user(context)) == "Dogs bark. [2]"

    def test_two_sources(self):
        """Sentences of two sources that both answer are both quoted."""
        context = "Context:\n[1] Gold costs 10.\n[2] Silver costs 5.\n\n"
        told = say(user(context + "Question: What do gold and silver cost?"))
        assert told == "Gold costs 10. [1] Silver costs 5. [2]"

    def test_follow_up(self):
        """A question with a pronoun is read together with the one before."""
        told = say(
            system(HANDBOOK),
            user("Tell me about standard shipping"),
            assistant("..."),
            user("How long does it take?"),
        )
        assert told == "Standard shipping takes 3 to 5 working days. [2]"

    def test_instructions_are_no_document(self):
        """A system message without documents is not quoted."""
        assert say(system("You know about dogs. Dogs bark."), user("dogs?")) == "You said: dogs?"


class TestResults:
    """Results of tools are stated."""

    @pytest.mark.parametrize(
        ("result", "answer"),
        [
            ("42", "The result is 42."),
            ("It is sunny.", "The result is It is sunny."),
            ({"temperature": 18.0}, "The result is 18."),
            ({"city": "Rome", "sky": "clear"}, "The result is city Rome, sky clear."),
            ({"error": "no such city"}, "That failed: no such city."),
            ([], "There are no results."),
            ([{"order_count": 12}], "The answer is 12 (order count)."),
            ({"columns": ["order_count"], "rows": [[12]]}, "The answer is 12 (order count)."),
            ({"rows": [[12]]}, "The answer is 12."),
            ([{"country": "Spain", "n": 1}], "The result is country Spain, n 1."),
            (
                [{"country": "Spain", "n": 1}, {"country": "Italy", "n": None}],
                "There are 2 results: country Spain, n 1; country Italy, n none.",
            ),
            (
                {"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]},
                "There are 2 results: a 1, b 2; a 3, b 4.",
            ),
        ],
    )
    def test_statement(self, result, answer):
        """Values, objects, rows and errors are read out."""
        assert say(user("How?"), *called("f", result)) == answer

    def test_many_rows(self):
        """Of many rows the first ten are read out, the rest is counted."""
        told = say(user("Which?"), *called("f", [{"n": n} for n in range(12)]))
        assert told.startswith("There are 12 results: n 0; n 1;")
        assert told.endswith("n 9; and 2 more.")

    def test_rows_in_a_prompt(self):
        """Rows quoted in the user's message are stated as a tool's are."""
        prompt = 'Question: How many?\nSQL: SELECT 1\nRows: [{"order_count": 12}]'
        assert say(user(prompt)) == "The answer is 12 (order count)."

    @pytest.mark.parametrize("key", ["text", "content", "page_content"])
    def test_hits_are_documents(self, key):
        """Hits of a search are documents: the nearest sentence is quoted with its source."""
        hits = [
            {key: "Cats sleep.", "source": "a.md"},
            {key: "Dogs bark. They run.", "metadata": {"source": "b.md"}},
        ]
        told = say(user("What do dogs do?"), *called("search", {"results": hits}))
        assert told == "Dogs bark. [source: b.md]"

    def test_marked_text_is_documents(self):
        """A result of marked passages is quoted from."""
        told = say(user("What do dogs do?"), *called("s", "[1] Cats sleep.\n[2] Dogs bark."))
        assert told == "Dogs bark. [2]"

    def test_old_results_are_over(self):
        """A result before the last user message is not the answer to it."""
        messages = [user("How?"), *called("f", "42"), assistant("42"), user("thanks")]
        assert say(*messages) == "You said: thanks"


WEATHER = tool("get_weather", "Get the weather in a city", city={"type": "string"})
CLOCK = tool("get_time", "Get the local time", city={"type": "string"})
SEARCH = tool("search_documents", "Search the handbook for policies", query={"type": "string"})


class TestTools:
    """Tools that fit are called."""

    def test_best_match(self):
        """The tool whose name and description share most words with the question is called."""
        question = "What is the policy on gifts in the handbook?"
        assert calls(question, WEATHER, SEARCH) == [("search_documents", {"query": question})]

    def test_no_match(self):
        """A question that shares no word with any tool is answered in text."""
        assert calls("Tell me a joke", WEATHER, SEARCH) == []

    def test_two_tools(self):
        """A second tool is called when its name has a word the first has not."""
        made = calls("Weather in Rome and the time in Oslo?", WEATHER, CLOCK)
        assert made == [("get_weather", {"city": "Rome"}), ("get_time", {"city": "Oslo"})]

    def test_two_tools_for_one_city(self):
        """What there is once is given to both."""
        made = calls("Weather and time in Oslo?", WEATHER, CLOCK)
        assert made == [("get_weather", {"city": "Oslo"}), ("get_time", {"city": "Oslo"})]

    def test_one_tool_for_several_names(self):
        """Several names for the one argument make several calls."""
        made = calls("What is the weather in Rome, Oslo and Bern?", WEATHER)
        assert [arguments["city"] for _, arguments in made] == ["Rome", "Oslo", "Bern"]

    def test_parallel_calls_can_be_forbidden(self):
        """Several names make one call where parallel_tool_calls is false."""
        made = calls("What is the weather in Rome and Oslo?", WEATHER, parallel_tool_calls=False)
        assert [arguments["city"] for _, arguments in made] == ["Rome"]

    def test_required_without_match(self):
        """A required call goes to the tool that is not about quantities, unless the question is."""
        counting = tool("count_rows", "Count rows: how many, totals", query={"type": "string"})
        made = calls("Who approves gifts?", counting, SEARCH, tool_choice="required")
        assert made[0][0] == "search_documents"

    def test_result_ends_the_calls(self):
        """With a result there are no more calls, unless they are required."""
        messages = [user("What is the weather in Rome?"), *called("get_weather", "sunny")]
        body = {"model": "m", "messages": messages, "tools": [WEATHER]}
        assert stand_in(body).text == "The result is sunny."
        assert stand_in({**body, "tool_choice": "required"}).tool_calls

    def test_function_without_parameters(self):
        """A function without parameters is called with an empty object."""
        bare = {"type": "function", "function": {"name": "ping"}}
        assert calls("ping it", bare) == [("ping", {})]


AGENTS = {
    "enum": ["analytics", "knowledge"],
    "description": "analytics: numbers from the sales database (how many, total, average, revenue);"
    " knowledge: questions about policies and documents",
}


class TestRouting:
    """An enum whose description explains its values is a choice by words."""

    @pytest.mark.parametrize(
        ("question", "agent"),
        [
            ("How many orders were placed in total?", "analytics"),
            ("What was our revenue in March 2025?", "analytics"),
            ("Which country has the most customers?", "analytics"),
            ("top 5 products", "analytics"),
            ("What is the refund policy?", "knowledge"),
            ("How do I return an item?", "knowledge"),
            ("Who approves travel expenses?", "knowledge"),
            ("Can I get a refund after 40 days?", "knowledge"),
        ],
    )
    @pytest.mark.parametrize("where", ["schema", "prompt", "tool"])
    def test_choice(self, question, agent, where):
        """The choice is the same whether schema, prompt or tool explain the values."""
        bare = {"enum": AGENTS["enum"]}
        told = AGENTS["description"].replace("; ", "\n- ")
        if where == "tool":
            made = calls(question, tool("route", "", agent=AGENTS), tool_choice="required")
            assert made[0][1]["agent"] == agent
            return
        properties = {"agent": AGENTS if where == "schema" else bare}
        schema = {"type": "object", "properties": properties, "required": ["agent"]}
        form = {"type": "json_schema", "json_schema": {"name": "route", "schema": schema}}
        prompt = "Route." if where == "schema" else f"Choose an agent:\n- {told}"
        said = say(system(prompt), user(question), response_format=form)
        assert json.loads(said) == {"agent": agent}

    def test_fallback(self):
        """A value described as the fallback is chosen when nothing fits."""
        options = {"enum": ["sales", "other"], "description": "sales: orders; other: anything else"}
        made = calls("Sing a song", tool("route", "", team=options), tool_choice="required")
        assert made[0][1]["team"] == "other"


JSON = {"type": "json_object"}


class TestJSON:
    """JSON is answered where it is asked for."""

    def test_answer_object(self):
        """Without keys in the prompt the object holds the answer."""
        said = say(user("Say hello in JSON"), response_format=JSON)
        assert json.loads(said) == {"answer": "You said: Say hello in JSON"}

    def test_named_keys(self):
        """Keys the prompt names are in the object."""
        prompt = system('Reply with JSON with keys "city" and "unit".')
        said = say(prompt, user("Is it warm in Rome?"), response_format=JSON)
        assert list(json.loads(said)) == ["city", "unit"]

    @pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "text"}])
    def test_schema_in_the_prompt(self, form):
        """A schema quoted in the prompt is filled, also without a response format."""
        schema = {"type": "object", "properties": {"agent": AGENTS}, "required": ["agent"]}
        prompt = system(f"Answer with JSON that fits this schema: {json.dumps(schema)}. Only JSON.")
        said = say(prompt, user("How many orders?"), response_format=form)
        assert json.loads(said) == {"agent": "analytics"}
