"""Writes expected.json and the results in expressions.json: what Jinja2, set up as transformers does, makes of every template here (needs jinja2)."""
import datetime, json, pathlib
import jinja2, jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = refuse
environment.globals["strftime_now"] = lambda form: datetime.datetime(2024, 7, 5, 9, 8, 7).strftime(form)

system = {"role": "system", "content": "Be brief.\n"}
user = {"role": "user", "content": " Wie heißt \"x\"? 😀 "}
assistant = {"role": "assistant", "content": "It is <b>.\n"}
thinking = {"role": "assistant", "content": "<think>\nWell,\nlet me see.\n</think>\n\nYes."}
call = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "abc123def", "function": {
    "name": "weather", "arguments": {"city": "Zürich", "days": 2, "exact": True, "near": [47.4, None]}}}]}
answer = {"role": "tool", "tool_call_id": "abc123def", "content": "{\"t\": 21.5}"}
tools = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
conversations = {
    "one": [user],
    "two": [user, assistant],
    "system": [system, user, assistant, user],
    "thinking": [user, thinking, user, thinking],
    "tools": [user, call, answer, assistant],
    "wrong": [assistant, system],
    "none": [],
}
here = pathlib.Path(__file__).parent
cases = []
for path in sorted(here.glob("*.jinja")):
    if path.stem == "escape":
        continue
    for name, messages in conversations.items():
        for prompt in (False, True):
            values = {"messages": messages, "add_generation_prompt": prompt, "documents": None,
                      "tools": tools if name == "tools" else None, "bos_token": "<s>", "eos_token": "</s>"}
            case = {"template": path.name, "conversation": name, "values": values}
            try:
                case["text"] = environment.from_string(path.read_text()).render(**values)
            except jinja2.exceptions.TemplateError as refused:
                case["fault"] = type(refused).__name__
                if type(refused) is jinja2.exceptions.TemplateError:
                    case["reason"] = str(refused)
            cases.append(case)
(here / "expected.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")

# one construct or several a template, over the same values
expressions = json.loads((here / "expressions.json").read_text())
for case in expressions["cases"]:
    try:
        case["text"] = environment.from_string(case["template"]).render(**expressions["values"])
    except Exception as refused:  # also what Python itself refuses
        case["fault"] = type(refused).__name__
(here / "expressions.json").write_text(json.dumps(expressions, ensure_ascii=False, indent=1) + "\n")
