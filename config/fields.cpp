#include "config/fields.hpp"

#include <algorithm>

#include "common/engine/alert_formats.hpp"
#include "common/families.hpp"

namespace relay {
namespace {

constexpr std::int64_t hour = 3'600'000;
constexpr std::int64_t day = 24 * hour;

std::vector<std::string_view> alert_format_names() {
  std::vector<std::string_view> out;
  for (const alert_format& f : alert_formats()) out.push_back(f.name);
  return out;
}

#define AT(member) [](config& c) -> field_target { return &c.member; }

const field table[] = {
    {"server",
     "listen",
     AT(server.listen),
     "Address and port for clients; 0.0.0.0:8080 to be reached from outside.",
     0,
     0,
     {}},
    {"server",
     "public_url",
     AT(server.public_url),
     "The relay's address as seen from outside, such as https://relay.example.com; upstreams call back "
     "there, "
     "and lost submissions are found again by it.",
     0,
     0,
     {}},
    {"server",
     "cors_origins",
     AT(server.cors_origins),
     "Origins that browsers may call from; \"*\" allows any, an empty list none.",
     0,
     0,
     {}},
    {"server",
     "when_busy",
     AT(server.when_busy),
     "When no upstream can take a job now: \"queue\" keeps it until one can, \"reject\" responds with 503.",
     0,
     0,
     {"queue", "reject"}},
    {"server",
     "submit_wait_ms",
     AT(server.submit_wait),
     "How long a create waits for the upstream's response before it responds 201 queued.",
     0,
     55'000,
     {}},
    {"server",
     "shutdown_delay_ms",
     AT(server.shutdown_delay),
     "How long after SIGTERM requests are still taken, while /readyz says 503, so that a load balancer sees "
     "it "
     "first.",
     0,
     hour,
     {}},
    {"server",
     "shutdown_grace_ms",
     AT(server.shutdown_grace),
     "How long requests in flight may take after SIGTERM.",
     0,
     hour,
     {}},
    {"server",
     "header_timeout_ms",
     AT(server.header_timeout),
     "Time for a whole request head, from its first byte; then 408.",
     100,
     hour,
     {}},
    {"server",
     "body_timeout_ms",
     AT(server.body_timeout),
     "Time for a whole request body; then 408.",
     100,
     hour,
     {}},
    {"server",
     "write_timeout_ms",
     AT(server.write_timeout),
     "Time for a client to read a whole response; then the connection is closed.",
     100,
     hour,
     {}},
    {"server",
     "idle_timeout_ms",
     AT(server.idle_timeout),
     "How long an idle connection is kept; longer than your proxy's.",
     100,
     day,
     {}},
    {"server",
     "max_connections",
     AT(server.max_connections),
     "Open client connections, as far as the limit of open files allows; above it new ones are closed at "
     "once.",
     1,
     1'000'000,
     {}},
    {"server",
     "max_connections_per_address",
     AT(server.max_connections_per_address),
     "The same for one address. Behind a trusted proxy the requests under way count, by the address that the "
     "proxy names.",
     1,
     1'000'000,
     {}},
    {"server",
     "trusted_proxies",
     AT(server.trusted_proxies),
     "Addresses and networks (10.0.0.0/8) of reverse proxies: their X-Forwarded-For says who calls, in the "
     "log "
     "and for the limit of one address.",
     0,
     0,
     {}},
    {"server",
     "max_header_bytes",
     AT(server.max_header_bytes),
     "Longest request head; then 431.",
     1024,
     65'536,
     {}},
    {"server",
     "max_body_bytes",
     AT(server.max_body_bytes),
     "Longest request body; then 413.",
     1024,
     64 * 1024 * 1024,
     {}},
    {"server",
     "body_memory_bytes",
     AT(server.body_memory_bytes),
     "Memory for the bodies of all requests that are being received; more get 503. Nothing is kept for a "
     "request without a valid token.",
     1024 * 1024,
     std::int64_t{1} << 40,
     {}},
    {"server",
     "max_batch_ids",
     AT(server.max_batch_ids),
     "Most ids in one POST /luma/tasks; then 400.",
     1,
     10'000,
     {}},
    {"server",
     "tasks_shape",
     AT(server.tasks_shape),
     "POST /luma/tasks answers with \"envelope\" {code, message, data}, or with a bare \"array\" of "
     "generations "
     "in the web-app shape, as some stations do.",
     0,
     0,
     {"envelope", "array"}},
    {"server",
     "tasks_platform",
     AT(server.tasks_platform),
     "The word for `platform` in that envelope, such as luma_free; empty: luma.",
     0,
     0,
     {}},
    {"storage",
     "path",
     AT(storage.path),
     "The SQLite file; its folder must exist. Beside it: -wal, -shm, .lock, .sock, .ballast, .assets, and "
     "after an upgrade .schema-N, a copy.",
     0,
     0,
     {}},
    {"storage",
     "queue_bytes",
     AT(storage.queue_bytes),
     "Memory of the writes that may wait for the disk; above it creates get 503.",
     64 * 1024,
     std::int64_t{1} << 40,
     {}},
    {"storage",
     "cache_bytes",
     AT(storage.cache_bytes),
     "Memory for tasks that are read, about 3 KiB each, and as much again for the replies made of them; 0 "
     "reads each "
     "from SQLite.",
     0,
     std::int64_t{1} << 40,
     {}},
    {"storage",
     "min_free_bytes",
     AT(storage.min_free_bytes),
     "With less free on its disk new jobs are refused with 503, so that those in flight can be finished. At "
     "most "
     "5 % of the disk.",
     0,
     std::int64_t{1} << 50,
     {}},
    {"storage",
     "ballast_bytes",
     AT(storage.ballast_bytes),
     "Size of a file that only reserves space, and is deleted when the disk is full all the same; 0: none. "
     "At "
     "most 2 % of the disk.",
     0,
     std::int64_t{1} << 40,
     {}},
    {"storage",
     "keep_ended_ms",
     AT(storage.keep_ended),
     "Jobs that ended longer ago than this are deleted; 0 keeps them indefinitely.",
     0,
     3650 * day,
     {}},
    {"submit",
     "deadline_ms",
     AT(submit.deadline),
     "A job that no upstream accepted fails after this.",
     1'000,
     7 * day,
     {}},
    {"submit",
     "retry_ms",
     AT(submit.retry),
     "First cool-down of an upstream that could not take a job, or lost its response: it gets no other; "
     "doubles.",
     10,
     hour,
     {}},
    {"submit", "retry_max_ms", AT(submit.retry_max), "Longest cool-down.", 10, hour, {}},
    {"submit",
     "on_ambiguous",
     AT(submit.on_ambiguous),
     "When a create's response was lost and the job is not in the upstream's list: \"prove\" submits again "
     "only "
     "if the list proves that it is not there, which needs server.public_url; \"fail\" never; \"resubmit\" "
     "always: it "
     "may be billed twice.",
     0,
     0,
     {"prove", "fail", "resubmit"}},
    {"submit",
     "settle_ms",
     AT(submit.settle),
     "How long after its response was lost a job may take to show in the upstream's list; only then does the "
     "list prove anything.",
     0,
     hour,
     {}},
    {"submit",
     "reconcile_deadline_ms",
     AT(submit.reconcile_deadline),
     "How long a job is looked up when the list cannot be read, or proves nothing.",
     0,
     day,
     {}},
    {"poll", "interval_ms", AT(poll.interval), "How often an open job is polled.", 10, hour, {}},
    {"poll", "retry_max_ms", AT(poll.retry_max), "Longest delay after polls that failed.", 10, hour, {}},
    {"poll",
     "job_deadline_ms",
     AT(poll.job_deadline),
     "An accepted job that has not ended after this fails; a late success is still recorded. 0: as long as "
     "its "
     "kind of job is given, 3600000 for all today.",
     0,
     7 * day,
     {}},
    {"poll",
     "concurrency",
     AT(poll.concurrency),
     "Polls in flight at once, for each upstream.",
     1,
     1'000,
     {}},
    {"poll",
     "not_found_limit",
     AT(poll.not_found_limit),
     "404s in a row before a job counts as gone. A 404 counts while the same upstream still shows other "
     "jobs.",
     1,
     1'000,
     {}},
    {"poll",
     "not_found_for_ms",
     AT(poll.not_found_for),
     "How long those 404s must go on. The last one counts only if the upstream's list does not show the job.",
     0,
     day,
     {}},
    {"poll",
     "late_interval_ms",
     AT(poll.late_interval),
     "How often a job is still polled, or looked up, that failed here and may be completed there: it "
     "missed its "
     "deadline, was lost, or got 404s. Completed late, it is told so.",
     10,
     day,
     {}},
    {"poll", "late_for_ms", AT(poll.late_for), "How long that goes on; 0: not at all.", 0, 7 * day, {}},
    {"poll",
     "delete_at_upstream",
     AT(poll.delete_at_upstream),
     "Deletes at the upstream too what its client has deleted, once the job has ended there.",
     0,
     0,
     {}},
    {"callbacks",
     "allow_private_addresses",
     AT(callbacks.allow_private_addresses),
     "Lets clients have callbacks sent to private and loopback addresses, and so into your own network.",
     0,
     0,
     {}},
    {"callbacks", "timeout_ms", AT(callbacks.timeout), "Time for one delivery.", 100, hour, {}},
    {"callbacks", "concurrency", AT(callbacks.concurrency), "Deliveries in flight at once.", 1, 10'000, {}},
    {"callbacks", "per_host", AT(callbacks.per_host), "The same for one host.", 1, 10'000, {}},
    {"callbacks",
     "retry_after_ms",
     AT(callbacks.retry_after),
     "Delays after failed deliveries; after the last the callback is given up. The default is Standard "
     "Webhooks' own: 3 days and 3 hours in all.",
     0,
     7 * day,
     {}},
    {"dns",
     "servers",
     AT(dns.servers),
     "Name servers, as ADDRESS or ADDRESS:PORT ([::1]:53); empty: those of /etc/resolv.conf. The hosts file "
     "is read first.",
     0,
     0,
     {}},
    {"limits",
     "pending_per_account",
     AT(limits.pending_per_account),
     "Jobs of one account that may wait to be submitted; more get 429. 0: no limit. Accounts take turns, "
     "limit or not. An account may have limits of its own in place of these.",
     0,
     1'000'000'000,
     {}},
    {"limits",
     "open_per_account",
     AT(limits.open_per_account),
     "Jobs of one account that have not ended, those that wait included; more get 429. 0: no limit.",
     0,
     1'000'000'000,
     {}},
    {"limits",
     "creates_per_minute_per_account",
     AT(limits.creates_per_minute_per_account),
     "New jobs of one account in any minute; more get 429. 0: no limit.",
     0,
     1'000'000,
     {}},
    {"limits",
     "requests_per_minute_per_account",
     AT(limits.requests_per_minute_per_account),
     "Requests of one account in any minute, reads too; more get 429. 0: no limit.",
     0,
     1'000'000'000,
     {}},
    {"credits",
     "balance_cents",
     AT(credits.balance_cents),
     "What clients of an account that does not pay in advance are told to have left, in US cents.",
     0,
     max_money.millionths / millionths_of_unit,
     {}},
    {"credits",
     "from_upstreams",
     AT(credits.from_upstreams),
     "Tells clients what your upstream keys have left together, instead of that figure.",
     0,
     0,
     {}},
    {"billing",
     "currency",
     AT(billing.currency),
     "The word for the currency that prices and balances are in; amounts are not converted when it changes.",
     0,
     0,
     {}},
    {"billing",
     "unpriced",
     AT(billing.unpriced),
     "Where there are [[price]] sections, a job that none is for: \"refuse\" it with 400, or let it be "
     "\"free\".",
     0,
     0,
     {"refuse", "free"}},
    {"billing",
     "late_jobs",
     AT(billing.late_jobs),
     "A job that failed, for which nothing was charged, and is found completed upstream later: \"charge\" "
     "its "
     "price then, even if the balance does not cover it, or leave it \"free\".",
     0,
     0,
     {"charge", "free"}},
    {"assets",
     "path",
     AT(assets.path),
     "The folder for pictures and videos that clients send as base64 or upload; it is made if it is not "
     "there. "
     "Empty: beside the database, with .assets after its name. They are taken when server.public_url is set: "
     "upstreams fetch them there.",
     0,
     0,
     {}},
    {"assets",
     "max_request_bytes",
     AT(assets.max_request_bytes),
     "Longest request with files in it; then 413. It is written to disk as it arrives.",
     64 * 1024,
     std::int64_t{1} << 32,
     {}},
    {"assets",
     "max_file_bytes",
     AT(assets.max_file_bytes),
     "Largest file; then 413.",
     64 * 1024,
     std::int64_t{1} << 32,
     {}},
    {"assets",
     "max_bytes_per_account",
     AT(assets.max_bytes_per_account),
     "Files of one account, in all; then 507. A small file counts as 64 KiB.",
     64 * 1024,
     std::int64_t{1} << 50,
     {}},
    {"assets",
     "max_bytes",
     AT(assets.max_bytes),
     "Files of all accounts; then 507. 0: none are taken.",
     0,
     std::int64_t{1} << 50,
     {}},
    {"assets",
     "keep_ms",
     AT(assets.keep),
     "How long a file is kept after it was received, and after the end of the last job that was given its "
     "address.",
     100,
     365 * day,
     {}},
    {"assets",
     "receive_timeout_ms",
     AT(assets.receive_timeout),
     "Time for a whole request with files in it; then 408.",
     100,
     hour,
     {}},
    {"models",
     "aliases",
     AT(models.aliases),
     "Other names that clients have for models, as NAME=MODEL: the upstream is sent the model's own, the "
     "client "
     "sees the one that it sent.",
     0,
     0,
     {}},
    {"models",
     "defaults",
     AT(models.defaults),
     "The model for a kind of job whose client named none, at the official API, as ACTION=MODEL; for videos "
     "the upstream's "
     "default_model applies otherwise. Actions: generations, video, image, image-reframe, video-reframe, "
     "video-modify.",
     0,
     0,
     {}},
    {"admin",
     "listen",
     AT(admin.listen),
     "Address and port of the admin API, GET /metrics and /docs; keep it private. Empty: off.",
     0,
     0,
     {}},
    {"admin",
     "host_names",
     AT(admin.host_names),
     "Names with a dot by which all but /admin/v1 is called, such as relay.internal; addresses and names "
     "without a dot always work.",
     0,
     0,
     {}},
    {"admin",
     "metrics_accounts",
     AT(admin.metrics_accounts),
     "So many accounts, the oldest first, have series of their own in /metrics; each has five.",
     0,
     1'000,
     {}},
    {"alerts",
     "url",
     AT(alerts.url),
     "Where troubles are told, by POST: a key that is refused, an upstream that is down, a full disk and so "
     "on. "
     "Empty: nowhere. It may hold a token, and is printed nowhere.",
     0,
     0,
     {}},
    {"alerts", "format", AT(alerts.format),
     "The service behind it: \"generic\" JSON, or the incoming webhooks of Slack, WeCom, Feishu or DingTalk.",
     0, 0, alert_format_names()},
    {"alerts",
     "secret",
     AT(alerts.sign_with),
     "What messages are signed with, for Feishu, DingTalk and generic; empty: they are not.",
     0,
     0,
     {}},
    {"alerts",
     "pending_ms",
     AT(alerts.pending),
     "A job that has waited so long to be submitted is a trouble.",
     1'000,
     7 * day,
     {}},
    {"alerts", "group_ms", AT(alerts.group), "What begins within this time is one message.", 0, hour, {}},
    {"alerts",
     "repeat_ms",
     AT(alerts.repeat),
     "What still holds is told again after this.",
     60'000,
     30 * day,
     {}},
    {"alerts",
     "calm_ms",
     AT(alerts.calm),
     "A trouble is told to be over when it has not been seen for so long.",
     0,
     hour,
     {}},
    {"log",
     "level",
     AT(log.level),
     "Least important line that is written.",
     0,
     0,
     {"debug", "info", "warn", "error"}},
    {"log",
     "format",
     AT(log.format),
     "\"text\" for people, \"json\" for collectors: one object a line.",
     0,
     0,
     {"text", "json"}},
    {"log", "file", AT(log.file), "Write to this file instead of standard output.", 0, 0, {}},
    {"log",
     "access",
     AT(log.access),
     "Lines for \"all\" requests, for those that ended in \"errors\", or \"off\".",
     0,
     0,
     {"all", "errors", "off"}},
    {"log",
     "access_sample",
     AT(log.access_sample),
     "Of the requests that succeeded one in so many has a line; errors always do.",
     1,
     1'000'000,
     {}},
    {"log",
     "access_file",
     AT(log.access_file),
     "Lines of requests go to this file; empty: among the others. SIGHUP opens both anew.",
     0,
     0,
     {}},
};

#undef AT

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return out;
}

std::string quoted(std::string_view text) {
  static constexpr char hex[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || u == 0x7f) {
      out += "\\u00";
      out += hex[u >> 4];
      out += hex[u & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

struct printer {
  std::string operator()(const std::string* v) const { return quoted(*v); }
  std::string operator()(const std::int64_t* v) const { return std::to_string(*v); }
  std::string operator()(const milliseconds* v) const { return std::to_string(v->count()); }
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const secret* v) const { return v->empty() ? "\"\"" : "\"[secret]\""; }
  std::string operator()(const std::vector<std::string>* v) const {
    std::string out = "[";
    for (std::size_t i = 0; i < v->size(); ++i) out += (i > 0 ? ", " : "") + quoted((*v)[i]);
    return out + "]";
  }
  std::string operator()(const std::vector<milliseconds>* v) const {
    std::string out = "[";
    for (std::size_t i = 0; i < v->size(); ++i) out += (i > 0 ? ", " : "") + std::to_string((*v)[i].count());
    return out + "]";
  }
};

}  // namespace

std::span<const field> fields() {
  return table;
}

std::string env_name(std::string_view section, std::string_view key, std::size_t number,
                     std::size_t number_within) {
  const std::size_t dot = section.find('.');
  std::string name = "LUMA_RELAY_" + upper(section.substr(0, dot)) + "_";
  if (number > 0) name += std::to_string(number) + "_";
  if (dot != section.npos) name += upper(section.substr(dot + 1)) + "_" + std::to_string(number_within) + "_";
  return name + upper(key);
}

std::string to_toml(const field_target& value) {
  return std::visit(printer{}, value);
}

}  // namespace relay
