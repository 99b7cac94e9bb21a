#include "server/openapi.hpp"

#include <algorithm>
#include <set>

#include "common/base/ascii.hpp"
#include "server/admin/admin_route.hpp"
#include "server/admin/shapes.hpp"

namespace relay {
namespace {

json::string text(std::string_view t) {
  return json::string(t);
}

json::object ref(std::string_view kind, std::string_view name) {
  return {{"$ref", text("#/components/" + std::string(kind) + "/" + std::string(name))}};
}

// ---- shapes

json::object schema_of(const json_field& f, json::object& components);

// In the components; by its name.
json::object schema_of(const shape& s, bool is_response, json::object& components) {
  if (components.contains(s.name)) return ref("schemas", s.name);
  components[s.name] = json::object{};  // one that contains itself ends here
  json::object properties;
  json::array required;
  for (const json_field& f : s.fields) {
    properties[f.name] = schema_of(f, components);
    if (is_response ? !f.optional : f.required) required.emplace_back(text(f.name));
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  out["additionalProperties"] = false;
  components[s.name] = std::move(out);
  return ref("schemas", s.name);
}

json::object text_schema(const json_field& f) {
  json::object out{{"type", "string"}};
  if (f.form != nullptr && !f.form->pattern.empty()) out["pattern"] = text(f.form->pattern);
  if (f.form != nullptr && !f.form->format.empty()) out["format"] = text(f.form->format);
  if (f.max > 0 && f.is == json_kind::text) out["maxLength"] = f.max;
  if (!f.allowed.empty()) {
    json::array words;
    for (const std::string_view w : f.allowed) words.emplace_back(text(w));
    out["enum"] = std::move(words);
  }
  return out;
}

json::value default_of(const json_field& f) {
  if (f.is == json_kind::whole) return std::stoll(std::string(f.default_value));
  if (f.is == json_kind::flag) return f.default_value == "true";
  return text(f.default_value);
}

json::object bare_schema(const json_field& f, json::object& components) {
  switch (f.is) {
    case json_kind::text:
      return text_schema(f);
    case json_kind::whole: {
      json::object out{{"type", "integer"}, {"format", "int64"}};
      if (f.max > 0) {  // a limit of a request; what a response counts has none
        out["minimum"] = f.min;
        out["maximum"] = f.max;
      }
      return out;
    }
    case json_kind::flag:
      return {{"type", "boolean"}};
    case json_kind::texts: {
      json::object out{{"type", "array"}, {"items", text_schema(f)}};
      if (f.max > 0) out["maxItems"] = f.max;
      return out;
    }
    case json_kind::numbers:
    case json_kind::object:
      return schema_of(*f.of, false, components);
    case json_kind::objects:
      return {{"type", "array"}, {"items", schema_of(*f.of, true, components)}};
    case json_kind::any:
      break;
  }
  return {};
}

json::object schema_of(const json_field& f, json::object& components) {
  json::object out = bare_schema(f, components);
  if (f.nullable && out.contains("type")) {
    json::array types{out["type"], "null"};
    out["type"] = std::move(types);
  }
  if (!f.about.empty()) out["description"] = text(f.about);
  if (!f.default_value.empty()) out["default"] = default_of(f);
  return out;
}

// ---- operations

json::object in_body(std::string_view type, json::object schema) {
  return {{"content", {{type, json::object{{"schema", std::move(schema)}}}}}};
}

json::object header(std::string_view about) {
  return {{"description", text(about)}, {"schema", {{"type", "string"}}}};
}

json::object parameter(std::string_view name, std::string_view in, std::string_view about,
                       json::object schema) {
  json::object out{{"name", text(name)}, {"in", text(in)}, {"schema", std::move(schema)}};
  if (in == "path") out["required"] = true;
  if (!about.empty()) out["description"] = text(about);
  return out;
}

void add_path_parameters(std::string_view pattern, json::array& out) {
  for (auto open = pattern.find('{'); open != pattern.npos; open = pattern.find('{', open + 1)) {
    const std::string_view name = pattern.substr(open + 1, pattern.find('}', open) - open - 1);
    out.emplace_back(parameter(name, "path", "", {{"type", "string"}, {"minLength", 1}}));
  }
}

void add_query_parameters(const shape& query, json::object& components, json::array& out) {
  for (const json_field& f : query.fields) {
    json::object schema = schema_of(f, components);
    schema.erase("description");
    out.emplace_back(parameter(f.name, "query", f.about, std::move(schema)));
  }
}

std::string method_of(http::verb v) {
  const auto name = boost::beast::http::to_string(v);
  return lower({name.data(), name.size()});
}

json::object document(std::string_view title, std::string_view about, json::object paths,
                      json::object schemas, std::string_view token_about) {
  return {{"openapi", "3.1.0"},
          {"info", {{"title", text(title)}, {"version", RELAY_VERSION}, {"description", text(about)}}},
          {"servers", {json::object{{"url", "/"}}}},
          {"security", {json::object{{"token", json::array{}}}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", std::move(schemas)},
            {"securitySchemes",
             {{"token", {{"type", "http"}, {"scheme", "bearer"}, {"description", text(token_about)}}}}}}}};
}

json::object admin_operation(const admin_route& r, json::object& schemas) {
  json::array parameters;
  add_path_parameters(r.pattern, parameters);
  if (r.query != nullptr) add_query_parameters(*r.query, schemas, parameters);
  if (r.method == http::verb::post && r.returns != nullptr)
    parameters.emplace_back(
        parameter("Idempotency-Key", "header",
                  "The same request with the same key is carried out once; its response comes again",
                  {{"type", "string"}, {"minLength", 1}, {"maxLength", 255}, {"pattern", "^[!-~]+$"}}));
  if (r.has_etag && r.changes() && r.pattern.contains('{'))
    parameters.emplace_back(parameter(
        "If-Match", "header", "The ETag that was read; 412 when it was changed since", {{"type", "string"}}));
  json::object content;
  if (r.returns != nullptr)
    content["application/json"] = json::object{{"schema", schema_of(*r.returns, true, schemas)}};
  if (r.media != nullptr) content[r.media->type.substr(0, r.media->type.find(';'))] = json::object{};
  json::object response{{"description", text(r.about)}, {"content", std::move(content)}};
  json::object headers;
  const bool shows_etag = r.returns == &shapes::account_with_balance || r.returns == &shapes::token ||
                          r.returns == &shapes::made_token;
  if (shows_etag) headers["ETag"] = header("Of what can be changed, for If-Match");
  if (r.status == 201 && shows_etag) headers["Location"] = header("Where it is");
  if (!headers.empty()) response["headers"] = std::move(headers);
  const json::object problem = {
      {"description", "What was wrong, where, and what is allowed (RFC 9457)"},
      {"content", {{"application/problem+json", json::object{{"schema", ref("schemas", "Problem")}}}}}};
  json::object out{{"operationId", text(r.operation)},
                   {"summary", text(r.about)},
                   {"description", text("Role: " + std::string(name_of(r.needs)) +
                                        (r.local_only                   ? ", by the Unix socket alone."
                                         : r.needs == admin_role::owner ? "."
                                                                        : " or above."))},
                   {"tags", {text(r.pattern.substr(1, r.pattern.find('/', 1) - 1))}}};
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  if (r.body != nullptr) {
    json::object body = in_body("application/json", schema_of(*r.body, false, schemas));
    const bool must = std::ranges::any_of(r.body->fields, &json_field::required);
    if (must) body["required"] = true;
    out["requestBody"] = std::move(body);
  }
  out["responses"] = {{std::to_string(r.status), std::move(response)}, {"4XX", problem}, {"5XX", problem}};
  return out;
}

// ---- the public API

constexpr json_field page_of_jobs[] = {{.name = "limit",
                                        .is = json_kind::whole,
                                        .about = "How many; more than 100 count as 100",
                                        .default_value = "100"},
                                       {.name = "offset",
                                        .is = json_kind::whole,
                                        .about = "How many are left out first",
                                        .max = 1'000'000,
                                        .default_value = "0"}};
constexpr json_field days[] = {{.name = "since", .about = "First day, such as 2026-11-01, in UTC"},
                               {.name = "until", .about = "Last day; today without it"},
                               {.name = "by",
                                .about = "Some of day, token, action, model, outcome, with commas between",
                                .default_value = "day,action,model"}};
constexpr json_field ids[] = {{.name = "ids", .about = "Ids of jobs, with commas between"}};
constexpr shape page_query{"", page_of_jobs}, usage_query{"", days}, ids_query{"", ids}, no_query{"", {}};

// What a public route does, by its name in the table.
struct public_text {
  std::string_view name;
  std::string_view about;
  const shape* query = &no_query;
  std::string_view type = "application/json";  // of its response
  int status = 200;
};
constexpr public_text texts[] = {
    {.name = "create", .about = "Create a job", .status = 201},
    {.name = "list", .about = "The account's jobs, the newest first", .query = &page_query},
    {.name = "get", .about = "A job, from the relay's own table; Prefer: wait=N waits for a change"},
    {.name = "delete", .about = "Forget a job; what waits is not submitted", .status = 204},
    {.name = "events", .about = "Changes of a job as they happen", .type = "text/event-stream"},
    {.name = "words", .about = "Words that a request may have"},
    {.name = "credits", .about = "What the account can spend"},
    {.name = "ping", .about = "The token works"},
    {.name = "luma-create", .about = "Create a job, as the web app does", .status = 201},
    {.name = "luma-get", .about = "A job, as the web app has it"},
    {.name = "luma-events", .about = "Changes of a job as they happen", .type = "text/event-stream"},
    {.name = "luma-extend", .about = "Create a job that goes on from another", .status = 201},
    {.name = "luma-download", .about = "Where the video of a completed job is"},
    {.name = "usage", .about = "What the account can spend, as the web app has it"},
    {.name = "me", .about = "Whose token it is"},
    {.name = "own-usage", .about = "What the account did, by day, action and model", .query = &usage_query},
    {.name = "billing-subscription", .about = "What the account can spend, as station front ends ask"},
    {.name = "billing-usage", .about = "What the account has spent, as station front ends ask"},
    {.name = "upload", .about = "Upload a picture or a video"},
    {.name = "announce-upload", .about = "Get an address to upload a file to"},
    {.name = "put", .about = "Upload a file to an address that was given for it"},
    {.name = "asset", .about = "A file that was uploaded", .type = "*/*"},
    {.name = "tasks", .about = "Several jobs at once, in the code/message/data envelope"},
    {.name = "tasks-events",
     .about = "Changes of several jobs as they happen",
     .query = &ids_query,
     .type = "text/event-stream"},
    {.name = "upstream-callback", .about = "For upstreams: a job has changed"},
    {.name = "healthz", .about = "The process lives"},
    {.name = "readyz", .about = "How the relay is, part by part"},
    {.name = "openapi", .about = "This document"},
    {.name = "docs", .about = "This document, to be read", .type = "text/html"},
    {.name = "docs-script", .about = "What shows it", .type = "text/javascript"},
};

const public_text& text_of(const route& r) {
  static constexpr public_text none{.name = "", .about = ""};
  const auto found = std::ranges::find(texts, r.name, &public_text::name);
  return found == std::end(texts) ? none : *found;
}

// Unique: several routes have one name, by which they are counted.
std::string operation_of(const route& r, std::set<std::string>& taken) {
  std::string out(r.name);
  if (r.creates != nullptr && taken.contains(out)) out.append("-").append(r.creates->name);
  if (taken.contains(out)) {
    out = r.name;
    for (const char c : r.pattern) {
      const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      if (is_plain)
        out += c;
      else if (out.back() != '-')
        out += '-';
    }
  }
  taken.insert(out);
  return out;
}

json::object public_operation(const route& r, std::string operation, json::object& schemas) {
  const public_text& says = text_of(r);
  json::array parameters;
  add_path_parameters(r.pattern, parameters);
  add_query_parameters(*says.query, schemas, parameters);
  if (r.creates != nullptr)
    parameters.emplace_back(parameter("Idempotency-Key", "header",
                                      "The same request with the same key makes one job",
                                      {{"type", "string"}, {"maxLength", 255}}));
  // How its dialect shows a job, where it shows one.
  const task_form* form = r.creates != nullptr ? r.speaks->created : nullptr;
  if (says.name == "get" || says.name == "luma-get" || says.name == "luma-download") form = &r.form();
  json::object schema;
  if (form != nullptr && form->schema != nullptr) {
    schemas[form->name] = form->schema();
    schema = ref("schemas", form->name);
  }
  json::object response{{"description", text(says.about)}};
  if (says.status != 204) {
    json::object media;
    if (!schema.empty()) media["schema"] = std::move(schema);
    response["content"] = json::object{{says.type, std::move(media)}};
  }
  const json::object refused = {{"description", "What was wrong, where, and what is allowed"},
                                {"content", {{"application/json", json::object{}}}}};
  json::object out{{"operationId", text(operation)}, {"summary", text(says.about)}};
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  if (r.creates != nullptr && r.creates->request_schema != nullptr) {
    const std::string name = "request-" + std::string(r.creates->name);
    schemas[name] = r.creates->request_schema(*r.creates);
    out["requestBody"] = in_body("application/json", ref("schemas", name));
  }
  if (r.needs == access::open) out["security"] = json::array{};
  out["responses"] = {{std::to_string(says.status), std::move(response)}, {"4XX", refused}, {"5XX", refused}};
  return out;
}

// NOLINTBEGIN(modernize-avoid-c-arrays): #embed fills an array of known length
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
constexpr unsigned char script[] = {
#embed "docs/rapidoc-min.js.gz"
};
#pragma clang diagnostic pop
// NOLINTEND(modernize-avoid-c-arrays)

constexpr std::string_view page = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>luma-relay</title>
<link rel="icon" href="data:,">
<script type="module" src="/docs/renderer.js"></script>
</head>
<body>
<rapi-doc spec-url="/openapi.json" render-style="view" show-header="false" allow-spec-file-load="false"
 allow-spec-url-load="false" load-fonts="false" schema-style="table" persist-auth="false"></rapi-doc>
<noscript>This page shows <a href="/openapi.json">openapi.json</a>, which needs JavaScript.</noscript>
</body>
</html>
)html";

}  // namespace

json::object openapi_of_admin() {
  json::object paths, schemas;
  schema_of(shapes::problem, true, schemas);
  for (const admin_route& r : admin_route_table()) {
    const std::string path = std::string(admin_prefix) + std::string(r.pattern);
    if (!paths.contains(path)) paths[path] = json::object{};
    paths[path].as_object()[method_of(r.method)] = admin_operation(r, schemas);
  }
  return document(
      "luma-relay: admin API",
      "What operators do: accounts, tokens, jobs, money, upstreams. The same is served on the Unix "
      "socket beside the database, there without a token.",
      std::move(paths), std::move(schemas), "An admin token: luma-relay admin-token create");
}

json::object openapi_of_public(const route_table& table) {
  json::object paths, schemas;
  std::set<std::string> taken;
  for (const route& r : table.rows) {
    const std::string path(r.pattern);
    if (!paths.contains(path)) paths[path] = json::object{};
    paths[path].as_object()[method_of(r.method)] = public_operation(r, operation_of(r, taken), schemas);
  }
  return document(
      "luma-relay: public API",
      "What clients do with a token of theirs. Paths with the prefixes that some clients have built "
      "in are the same.",
      std::move(paths), std::move(schemas), "A token: luma-relay token create");
}

std::string_view docs_page() {
  return page;
}

std::string_view docs_script_gzip() {
  return {reinterpret_cast<const char*>(script), sizeof script};
}

}  // namespace relay
