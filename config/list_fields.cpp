// The keys of sections that may come several times: [[upstream]] with its [[upstream.keys]] and
// [[upstream.price]], [[price]], [[group]].

#include "common/families.hpp"
#include "config/fields.hpp"

namespace relay {
namespace {

constexpr std::int64_t hour = 3'600'000;

#define UP(member) [](upstream_config& c) -> field_target { return &c.member; }
#define KEY(member) [](upstream_key_config& c) -> field_target { return &c.member; }
#define PRICE(member) [](price_config& c) -> field_target { return &c.member; }
#define GROUP(member) [](group_config& c) -> field_target { return &c.member; }

const upstream_field upstream_table[] = {
    {"upstream",
     "name",
     UP(name),
     "A short name for logs and metrics; jobs on disk refer to it, so do not change it.",
     0,
     0,
     {}},
    {"upstream", "url", UP(url), "Scheme and host, with or without /dream-machine/v1.", 0, 0, {}},
    {"upstream",
     "key",
     UP(key),
     "The key the upstream gave you. Exactly one of key, key_env and key_file; or [[upstream.keys]].",
     0,
     0,
     {}},
    {"upstream", "key_env", UP(key_env), "Name of an environment variable that holds the key.", 0, 0, {}},
    {"upstream", "key_file", UP(key_file), "A file that holds the key, such as a Docker secret.", 0, 0, {}},
    {"upstream", "protocol", UP(protocol),
     "\"luma\" for the official API, \"agents\" for the newer one at agents.lumalabs.ai, \"station\" for an "
     "API "
     "reseller's /luma/generations.",
     0, 0, families().protocol_names()},
    {"upstream",
     "priority",
     UP(priority),
     "The upstream with the largest one gets a job; the next gets it when that one cannot take it. Equal "
     "ones "
     "share the jobs by weight. 0: after all that have one, in the order of the file.",
     0,
     1'000'000,
     {}},
    {"upstream",
     "weight",
     UP(weight),
     "Its share of the jobs among upstreams and keys of equal priority.",
     1,
     1'000,
     {}},
    {"upstream",
     "actions",
     UP(actions),
     "Kinds of job that go there, such as [\"video\", \"generations\"]; empty: all that its protocol can "
     "do. See models.defaults for the names; upscale and audio are kinds too.",
     0,
     0,
     {}},
    {"upstream",
     "models",
     UP(models),
     "Models whose jobs go there, such as [\"ray-2\"]; empty: all.",
     0,
     0,
     {}},
    {"upstream",
     "aliases",
     UP(aliases),
     "Names that its models have for clients, as NAME=MODEL, before those of models.aliases, such as "
     "[\"ray-2=ray-3.2\", \"photon-1=uni-1\"] for the protocol agents.",
     0,
     0,
     {}},
    {"upstream",
     "poll_only",
     UP(poll_only),
     "It gets no job any more; those it has are polled to their end.",
     0,
     0,
     {}},
    {"upstream",
     "default_model",
     UP(default_model),
     "Model of a video whose client named none, at the official API; empty: none is sent.",
     0,
     0,
     {}},
    {"upstream",
     "ca_file",
     UP(ca_file),
     "PEM file of a private certificate authority, instead of the system's.",
     0,
     0,
     {}},
    {"upstream",
     "proxy",
     UP(proxy),
     "HTTP proxy through which it is reached (CONNECT), such as http://user:password@proxy:3128. Its name is "
     "looked up by the proxy.",
     0,
     0,
     {}},
    {"upstream",
     "max_concurrent",
     UP(max_concurrent),
     "Jobs open there at once with one key; 0: as many as the upstream allows, which is learned from its "
     "429s.",
     0,
     1'000'000,
     {}},
    {"upstream",
     "creates_per_minute",
     UP(creates_per_minute),
     "Jobs submitted there in any minute with one key; 0: as many as the upstream allows, which is learned "
     "from its 429s.",
     0,
     1'000'000,
     {}},
    {"upstream",
     "polls_per_second",
     UP(polls_per_second),
     "Polls in any second with one key, questions for new links included; needs to be at least open jobs "
     "divided by the poll interval.",
     1,
     1'000'000,
     {}},
    {"upstream",
     "max_connections",
     UP(max_connections),
     "Connections to it, for all its keys and all that is sent there; at most three quarters of them for "
     "creates.",
     1,
     10'000,
     {}},
    {"upstream", "connect_timeout_ms", UP(connect_timeout), "Name, TCP and TLS, each.", 100, hour, {}},
    {"upstream",
     "first_byte_timeout_ms",
     UP(first_byte_timeout),
     "From the first byte sent to the first of the response.",
     100,
     hour,
     {}},
    {"upstream", "total_timeout_ms", UP(total_timeout), "A whole exchange.", 100, hour, {}},
    {"upstream",
     "idle_timeout_ms",
     UP(idle_timeout),
     "How long a connection is kept; shorter than the upstream's own limit.",
     0,
     hour,
     {}},
};

const key_field key_table[] = {
    {"upstream.keys",
     "name",
     KEY(name),
     "A short name; jobs on disk refer to it, so do not change it. The key itself may change.",
     0,
     0,
     {}},
    {"upstream.keys", "key", KEY(key), "Exactly one of key, key_env and key_file.", 0, 0, {}},
    {"upstream.keys",
     "key_env",
     KEY(key_env),
     "Name of an environment variable that holds the key.",
     0,
     0,
     {}},
    {"upstream.keys", "key_file", KEY(key_file), "A file that holds the key.", 0, 0, {}},
    {"upstream.keys",
     "weight",
     KEY(weight),
     "Its share of the jobs among the keys of this upstream, and upstreams of equal priority; 0: the "
     "upstream's.",
     0,
     1'000,
     {}},
    {"upstream.keys", "max_concurrent", KEY(max_concurrent), "0: the upstream's.", 0, 1'000'000, {}},
    {"upstream.keys", "creates_per_minute", KEY(creates_per_minute), "0: the upstream's.", 0, 1'000'000, {}},
    {"upstream.keys",
     "poll_only",
     KEY(poll_only),
     "It gets no job any more; those it has are polled to their end.",
     0,
     0,
     {}},
};

// The table of what accounts pay, and that of what an upstream takes, have the same keys.
std::vector<price_field> price_table(std::string_view section) {
  return {{section,
           "action",
           PRICE(rule.action),
           "Kind of job, such as \"video\"; in this word and the next three \"*\" stands for any characters. "
           "The first section that fits a job is its price.",
           0,
           0,
           {}},
          {section,
           "model",
           PRICE(rule.model),
           "The model's own name (models.aliases are resolved first); a job that names none has that of "
           "models.defaults.",
           0,
           0,
           {}},
          {section,
           "resolution",
           PRICE(rule.resolution),
           "As the request says, such as \"720p\"; \"\" is for requests that do not.",
           0,
           0,
           {}},
          {section,
           "duration",
           PRICE(rule.duration),
           "As the request says, such as \"5s\"; \"\" is for requests that do not.",
           0,
           0,
           {}},
          {section,
           "price",
           PRICE(price),
           "In billing.currency, as text: \"0.40\"; six digits after the point at most.",
           0,
           0,
           {}},
          {section,
           "per",
           PRICE(per),
           "For the \"job\", or for each \"second\" of its duration; one whose duration is not known has no "
           "price then.",
           0,
           0,
           {"job", "second"}}};
}

const group_field group_table[] = {
    {"group", "name", GROUP(name), "What accounts refer to: luma-relay account set --group NAME.", 0, 0, {}},
    {"group",
     "price_factor",
     GROUP(price_factor),
     "What the prices of its accounts are multiplied by, as text: \"0.8\".",
     0,
     0,
     {}},
};

#undef UP
#undef KEY
#undef PRICE
#undef GROUP

}  // namespace

std::span<const upstream_field> upstream_fields() {
  return upstream_table;
}
std::span<const key_field> key_fields() {
  return key_table;
}
std::span<const price_field> price_fields() {
  static const std::vector<price_field> table = price_table("price");
  return table;
}
std::span<const price_field> upstream_price_fields() {
  static const std::vector<price_field> table = price_table("upstream.price");
  return table;
}
std::span<const group_field> group_fields() {
  return group_table;
}

}  // namespace relay
