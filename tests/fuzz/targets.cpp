#include "tests/fuzz/targets.hpp"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdio>
#include <cstdlib>

#include "common/base/addresses.hpp"
#include "common/base/ascii.hpp"
#include "common/base/files_in_json.hpp"
#include "common/base/id.hpp"
#include "common/base/masked.hpp"
#include "common/base/multipart.hpp"
#include "common/base/text.hpp"
#include "common/base/url.hpp"
#include "common/engine/address_policy.hpp"
#include "common/engine/callbacks.hpp"
#include "common/engine/idempotency.hpp"
#include "common/engine/lifecycle.hpp"
#include "common/engine/list_walk.hpp"
#include "common/engine/marker.hpp"
#include "common/engine/outcome.hpp"
#include "common/engine/token.hpp"
#include "common/families.hpp"
#include "config/load.hpp"
#include "server/http/byte_range.hpp"
#include "server/http/chunk_decoder.hpp"
#include "server/http/head_validator.hpp"
#include "server/http/message.hpp"
#include "server/log.hpp"
#include "tests/support/luma.hpp"

namespace relay::fuzz {
namespace {

// Throwing would be caught by somebody; this is not.
void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

constexpr timestamp now{std::chrono::hours(480'000)};

const dialect* const creating[] = {&luma::dialects::dream_machine, &luma::dialects::web_app};
const action* const kinds[] = {&luma::actions::generations, &luma::actions::video, &luma::actions::image,
                               &luma::actions::upscale, &luma::actions::audio};
const protocol* const protocols[] = {&luma::official_protocol, &luma::station_protocol};

// ---- what clients send

void head(std::string_view in) {
  const http::head_limits limits{2'000, 800, 30};
  // The end of the head is where it is, however the bytes arrive.
  const auto whole = http::find_head_end(in, 0, limits);
  for (std::size_t seen = 0, at = 1; at <= in.size(); seen = at, at += 1 + at / 7) {
    const auto part = http::find_head_end(in.substr(0, at), seen, limits);
    if (!part) {
      must(!whole || !*whole || **whole > at, "a head that is refused in parts is refused");
      break;
    }
    if (*part) {
      must(whole && *whole && **whole == **part, "the head ends at the same byte");
      break;
    }
  }
  if (!whole || !*whole) return;
  const auto checked = http::check_head(in.substr(0, **whole), limits);
  if (!checked) {
    must(checked.error().http_status() >= 400, "a refusal has a status");
    return;
  }
  // What passes both means the same to both.
  boost::beast::http::request_parser<boost::beast::http::empty_body> beast;
  beast.eager(false);
  beast.body_limit(boost::none);
  boost::system::error_code ec;
  beast.put(boost::asio::buffer(in.data(), **whole), ec);
  if (ec && ec != boost::beast::http::error::need_more) return;  // Beast refuses more; that is a 400 too
  must(beast.is_header_done(), "Beast sees the end of the head where the gate does");
  must(beast.chunked() == checked->chunked, "both see chunks");
  if (!checked->chunked && checked->content_length > 0)
    must(beast.content_length() == checked->content_length, "both see the same length");
}

void chunks(std::string_view in) {
  const auto decode = [in](std::size_t step, std::string& body, std::size_t& used) {
    http::chunk_decoder d({2'000, 300});
    used = 0;
    while (used < in.size() && !d.done()) {
      const auto taken = d.feed(in.substr(used, step), body);
      if (!taken) return std::string("refused ") + std::to_string(taken.error().http_status());
      used += *taken;
    }
    return std::string(d.done() ? "whole" : "more");
  };
  std::string at_once;
  std::string by_byte;
  std::size_t used_at_once = 0;
  std::size_t used_by_byte = 0;
  const std::string verdict = decode(in.size() + 1, at_once, used_at_once);
  must(verdict == decode(1, by_byte, used_by_byte), "the verdict does not depend on how the bytes arrive");
  must(at_once == by_byte && at_once.size() <= 2'000, "nor does the body, which is limited");
  if (verdict == "whole") must(used_at_once == used_by_byte, "nor where it ends");
}

void create(std::string_view in) {
  if (in.size() < 2) return;
  const dialect& d = *creating[static_cast<unsigned char>(in[0]) % std::size(creating)];
  const action& kind = *kinds[static_cast<unsigned char>(in[1]) % std::size(kinds)];
  const auto body = parse_strict(in.substr(2));
  if (!body) {
    must(!json::serialize(d.render_error(body.error())).empty(), "an error can be told");
    return;
  }
  const bool derived = &kind == &luma::actions::upscale || &kind == &luma::actions::audio;
  auto asked = d.parse_create(*body, kind, derived ? "01936e4f-a1b2-7000-8000-000000000001" : "");
  if (!asked) {
    must(asked.error().http_status() >= 400 && asked.error().http_status() < 500,
         "a bad request is the client's");
    must(!json::serialize(d.render_error(asked.error())).empty(), "an error can be told");
    return;
  }
  task t = test::luma_task(kind);
  t.id = "01936e4f-a1b2-7000-8000-000000000002";
  t.dialect = &d;
  t.request = json::serialize(asked->request);
  t.callback_url = asked->callback_url;
  t.created_at = t.updated_at = now;
  must(parse_lenient(t.request).has_value(), "what is stored can be read again");
  for (const task_form* how : {d.created, d.shown, &luma::forms::item}) {
    const auto shown = how->render(t, now);
    if (shown) must(parse_lenient(*shown).has_value(), "what is shown is JSON");
  }
  for (const protocol* p : protocols) {
    const outgoing_settings with{"ray-2", "https://relay.example", {}};
    if (!p->obstacle(t, with).empty()) continue;
    const auto sent =
        p->build_create(t, with, [](const std::string&) { return std::optional<std::string>("u-1"); });
    if (sent) must(parse_lenient(sent->body).has_value(), "what is sent is JSON");
  }
}

// Files in a body, as JSON or as a form: what comes out does not depend on how the bytes arrive.
class fuzzed_files final : public file_output {
 public:
  result<void> begin() override {
    bytes += '|';
    return {};
  }
  result<void> write(std::string_view part) override {
    bytes.append(part);
    if (bytes.size() > 5'000) return fail(errc::body_too_large, "too large");
    return {};
  }
  result<std::string> end() override { return "file"; }

  std::string bytes;
};

template <class Parser>
std::string parsed_in_steps(Parser& parser, const fuzzed_files& out, std::string_view body,
                            std::size_t step) {
  for (std::size_t at = 0; at < body.size(); at += step) {
    if (const auto fed = parser.feed(body.substr(at, step)); !fed)
      return "refused " + std::to_string(fed.error().http_status());
  }
  const auto text = parser.finish();
  if (!text) return "refused " + std::to_string(text.error().http_status());
  return *text + "\n" + out.bytes;
}

void files(std::string_view in) {
  if (in.empty()) return;
  const std::string_view body = in.substr(1);
  const bool is_form = (in[0] & 1) != 0;
  const auto run = [&](std::size_t step) {
    fuzzed_files out;
    if (is_form) {
      multipart_file form("b", out);
      return parsed_in_steps(form, out, body, step);
    }
    files_in_json json(out, {32, 4'000});
    return parsed_in_steps(json, out, body, step);
  };
  const std::string at_once = run(body.size() + 1);
  must(at_once == run(1) && at_once == run(3), "files do not depend on how their bytes arrive");
  if (is_form) {
    (void)multipart_boundary(body);
  } else if (!at_once.starts_with("refused") && at_once.find("\n|") == std::string::npos) {
    must(at_once == std::string(body) + "\n", "a text without files stays as it is");
  }
  (void)http::parse_range(body, 1'000);
  (void)may_be_file(body);
  (void)base64_of(body);
}

// ---- what upstreams send

// A body, a poll's response to it, what a callback names, and every form of the task that it makes.
void reply(std::string_view in) {
  if (in.empty()) return;
  const protocol& p = *protocols[static_cast<unsigned char>(in[0]) % std::size(protocols)];
  exchange x;
  x.responded = true;
  x.status = static_cast<unsigned char>(in[0]) < 200 ? 200 : 100 + 2 * static_cast<unsigned char>(in[0]);
  x.body = in.substr(1);
  task t = test::luma_task();
  t.id = "01936e4f-a1b2-7000-8000-000000000002";
  t.request = R"({"prompt":"abc"})";
  t.upstream = "a";
  t.created_at = now;
  t.deadline = now + std::chrono::hours(1);
  t = advance(std::move(t), event::submit_started{"a", "secret", "attempt", "process"}, now, {}, 0);
  const submit_outcome outcome = classify_submit(x, p);
  task after = advance(t, for_attempt(outcome.event, "attempt"), now, {}, 0);
  const std::string path = after.upstream_id.empty() ? "" : p.build_fetch(after.upstream_id);
  must(std::ranges::all_of(path, [](char c) { return c > 0x20 && c < 0x7f && c != '?' && c != '#'; }) &&
           !path.ends_with("/..") && !path.ends_with("/."),
       "an id is fit for a path");
  after = advance(std::move(after), classify_poll(x, p).event, now, {}, 0);
  (void)p.parse_job(x.body);
  (void)p.parse_listed(x.body);
  (void)p.says_not_found(x.body);
  const std::string text = p.error_text(x.status, x.body);
  must(text.size() <= 2'000, "an upstream's error is cut");
  must(std::ranges::none_of(text, [](char c) { return c == '\n' || c == '\r'; }), "and stands on one line");
  for (const task_form* how : {&luma::forms::official, &luma::forms::item, luma::dialects::web_app.shown}) {
    const auto shown = how->render(after, now);
    if (shown) must(parse_lenient(*shown).has_value(), "what is shown is JSON");
  }
}

void list(std::string_view in) {
  if (in.empty()) return;
  const std::size_t step = 1 + static_cast<unsigned char>(in[0]);
  const std::string_view body = in.substr(1);
  page_reader at_once(luma::official_protocol);
  at_once.feed(body);
  const auto whole = at_once.end();
  page_reader in_parts(luma::official_protocol);
  for (std::size_t at = 0; at < body.size(); at += step) in_parts.feed(body.substr(at, step));
  const auto parts = in_parts.end();
  must(whole.has_value() == parts.has_value(), "a page is a page however its bytes arrive");
  if (!whole) return;
  must(whole->jobs.size() == parts->jobs.size(), "with the same jobs");
  for (std::size_t i = 0; i < whole->jobs.size(); ++i) {
    must(whole->jobs[i].reported.id == parts->jobs[i].reported.id, "in the same order");
    (void)parse_marker(whole->jobs[i].callback_url);
  }
}

// ---- what operators write

void configuration(std::string_view in) {
  const auto none = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
  const loaded_config loaded = load_config(in, "relay.toml", none);
  for (const config_problem& p : loaded.problems) must(!to_string(p).empty(), "a problem can be told");
  if (!loaded.problems.empty()) return;
  const std::string printed = print_config(loaded.value);
  for (const upstream_config& u : loaded.value.upstreams) {
    if (u.key.reveal().size() >= shortest_masked)
      must(printed.find(u.key.reveal()) == std::string::npos, "no key is printed");
  }
}

// ---- values in header fields, and what is logged of them

void values(std::string_view in) {
  const auto half = in.size() / 2;
  const std::string_view a = in.substr(0, half);
  const std::string_view b = in.substr(half);
  const auto fit_for_a_line = [](std::string_view text) {
    return std::ranges::none_of(text,
                                [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  };
  must(fit_for_a_line(for_log(in)), "a log line is one line");
  std::string target;
  append_loggable_target(target, in);
  must(fit_for_a_line(target), "so is a target in it");
  const std::string utf8 = as_utf8(in);
  must(parse_strict(json::serialize(json::string(utf8))).has_value() || utf8.find('\0') != std::string::npos,
       "what leaves is UTF-8");
  must(cut(utf8, half).size() <= half, "what is cut is short");
  (void)from_http_date(in);
  (void)from_iso(in);
  (void)credential(in);
  (void)http::query_value(a, b);
  (void)http::percent_decode(in);
  must(normalise_id(in).size() <= std::max<std::size_t>(in.size(), 36), "an id does not grow");
  idempotency_headers h;
  h.keys = 1;
  h.key = a;
  h.retry_count = b;
  h.timeout = b;
  (void)idempotency_of(h, in, now);
  http::reply r;
  r.add_header("X-Test", in);
  must(std::ranges::count(r.extra_headers(), '\n') == 1, "a header field is one line");
  (void)parse_marker(in);
  // The words in its place begin and end with a bracket: with one of its own, a secret may come out of them.
  if (b.size() >= shortest_masked && b.find_first_of("[]") == std::string_view::npos)
    must(masked(in, b).find(b) == std::string::npos, "a secret is gone");
}

// ---- where a callback may go

void addresses(std::string_view in) {
  const auto url = parse_web_address(in);
  must(url.has_value() == is_web_url(in), "one verdict on an address");
  if (url) {
    must(!url->at.host.empty() && url->at.host.size() < 300, "an address has a host");
    must(std::ranges::none_of(url->target, [](char c) { return c <= 0x20 || c == 0x7f; }),
         "and a clean target");
    must(std::ranges::none_of(url->at.host, [](char c) { return c <= 0x20 || c == '@' || c == '/'; }),
         "and a clean host");
  }
  (void)has_scheme(in);
  (void)parse_base_url(in);
  if (const auto ip = parse_ip(in)) {
    must(parse_ip(to_text(*ip)) == ip, "an address is what its text says");
    (void)is_public(*ip);
  }
  const auto trusted = address_set::parse({"10.0.0.0/8", "::1"});
  if (const auto client = forwarded_for(in, *trusted))
    must(parse_ip(*client).has_value(), "a client is an address");
  (void)address_set::parse({std::string(in)});
  if (in.size() >= 16) {
    std::array<unsigned char, 16> raw{};
    std::copy_n(reinterpret_cast<const unsigned char*>(in.data()), raw.size(), raw.begin());
    const bool mapped = std::all_of(raw.begin(), raw.begin() + 10, [](unsigned char c) { return c == 0; }) &&
                        raw[10] == 0xff && raw[11] == 0xff;
    if (mapped) must(!is_public(raw), "an IPv4 address in IPv6 is not a way in");
  }
}

constexpr target table[] = {{"head", head},     {"chunks", chunks},       {"create", create},
                            {"reply", reply},   {"list", list},           {"config", configuration},
                            {"values", values}, {"addresses", addresses}, {"files", files}};

}  // namespace

std::span<const target> targets() {
  return table;
}

}  // namespace relay::fuzz
