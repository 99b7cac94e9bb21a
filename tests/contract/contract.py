"""The served OpenAPI documents: their validation, faults that are planted in them, what Schemathesis found.

contract.py validate URL FILE           fetches the document, validates it, and writes it to FILE
contract.py check FILE                  validates the document of FILE
contract.py plant FAULT FILE OUT        writes the document of FILE with that fault; prints the check that
                                        finds it, the operation's id, the failure, the operation's label
contract.py found REPORT FAILURE LABEL  whether the run found this kind of failure at this operation
contract.py reached FILE IDS REPORT…    whether each operation of the document, but these, accepted a request
"""

import copy
import json
import sys
import urllib.request

METHODS = ("get", "put", "post", "delete", "patch")


def operations(document):
    """Each operation with its label in a report, its path and its method."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", path, method


def resolved(document, node):
    """What a $ref into the same document leads to, in place."""
    while "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def validate(document):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    version = document.get("openapi", "")
    if not version.startswith("3.1."):
        raise SystemExit(f"not OpenAPI 3.1: {version!r}")
    problems = list(OpenAPIV31SpecValidator(document).iter_errors())
    if problems:
        raise SystemExit("\n".join(f"{'/'.join(map(str, p.absolute_path))}: {p.message}" for p in problems))


def fetch(url, file):
    with urllib.request.urlopen(url, timeout=20) as answer:
        kind = answer.headers.get_content_type()
        document = json.load(answer)
    if kind != "application/json":
        raise SystemExit(f"{url} is {kind}")
    validate(document)
    with open(file, "w", encoding="utf-8") as out:
        json.dump(document, out)
    print(f"{url}: {document['info']['title']}, {len(list(operations(document)))} operations, valid")


def where(document, id):
    """Label, path and operation of an operationId."""
    for label, path, method in operations(document):
        if document["paths"][path][method].get("operationId") == id:
            return label, path, document["paths"][path][method]
    raise SystemExit(f"the document has no operation {id}")


def plant(fault, document):
    """The document with the fault, and what must be found: by which check, what failure, at what operation."""
    document = copy.deepcopy(document)
    id = "listAccounts" if fault == "parameter" else "whoAmI"
    label, path, asked = where(document, id)
    answers = asked["responses"]
    # A copy of its own: others may refer to the same one.
    good = answers["200"] = copy.deepcopy(resolved(document, answers["200"]))
    body = good["content"]["application/json"]
    if fault == "property":
        schema = body["schema"] = copy.deepcopy(resolved(document, body["schema"]))
        schema["properties"]["role"] = {"type": "integer"}
        check, failure = "response_schema_conformance", "JsonSchemaError"
    elif fault == "member":
        schema = body["schema"] = copy.deepcopy(resolved(document, body["schema"]))
        schema["required"] = [*schema.get("required", []), "no_such_member"]
        check, failure = "response_schema_conformance", "JsonSchemaError"
    elif fault == "status":
        del answers["200"]
        check, failure = "status_code_conformance", "UndefinedStatusCode"
    elif fault == "type":
        good["content"] = {"text/plain": {"schema": {"type": "string"}}}
        check, failure = "content_type_conformance", "UndefinedContentType"
    elif fault == "header":
        good.setdefault("headers", {})["X-No-Such-Header"] = {"required": True, "schema": {"type": "string"}}
        check, failure = "response_headers_conformance", "MissingHeaders"
    elif fault == "parameter":
        shared = document["paths"][path].get("parameters", [])
        listed = [copy.deepcopy(resolved(document, p)) for p in [*shared, *asked.get("parameters", [])]]
        [limit] = [p for p in listed if p["name"] == "limit"]
        limit["schema"] = {"type": "integer", "minimum": 1, "maximum": 10}
        document["paths"][path].pop("parameters", None)
        asked["parameters"] = listed
        check, failure = "negative_data_rejection", "AcceptedNegativeData"
    elif fault == "security":
        # What anybody may ask for, said to need a token.
        scheme = next(iter(document["components"]["securitySchemes"]))
        id, label = "open", "GET /healthz"
        answer = {"description": "answered", "content": {"application/json": {"schema": {}}}}
        document["servers"] = [{"url": "/"}]
        document["paths"] = {"/healthz": {"get": {"operationId": id, "security": [{scheme: []}],
                                                  "responses": {"200": answer, "401": answer}}}}
        check, failure = "ignored_auth", "IgnoredAuth"
    else:
        raise SystemExit(f"no such fault: {fault}")
    return document, (check, id, failure, label)


def found(report, failure, label):
    if not any(f["type"] == failure and label in f["operations"] for f in report["failures"]):
        seen = [(f["type"], f["operations"]) for f in report["failures"]]
        raise SystemExit(f"no {failure} at {label} was reported; reported: {seen or 'nothing'}")


def reached(document, but, reports):
    """Who is refused everywhere has shown nothing of its answers."""
    accepted = {label for report in reports for label, phases in report["valid_rates"].items()
                if any(phase["accepted"] for phase in phases.values())}
    paths = document["paths"]
    ids = {label: paths[path][method]["operationId"] for label, path, method in operations(document)}
    never = sorted(id for label, id in ids.items() if id not in but and label not in accepted)
    if never:
        raise SystemExit(f"no request was accepted by {', '.join(never)}")
    print(f"{len(accepted)} of {len(ids)} operations accepted requests")


def read(file):
    with open(file, encoding="utf-8") as text:
        return json.load(text)


def main(command, *arguments):
    if command == "validate":
        fetch(*arguments)
    elif command == "check":
        validate(read(*arguments))
    elif command == "plant":
        fault, file, out = arguments
        document, expected = plant(fault, read(file))
        validate(document)
        with open(out, "w", encoding="utf-8") as text:
            json.dump(document, text)
        print(*expected)
    elif command == "found":
        report, failure, label = arguments
        found(read(report), failure, label)
    elif command == "reached":
        file, but, *reports = arguments
        reached(read(file), but.split(), [read(report) for report in reports])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
