#pragma once

// One row per configuration key: everything that is known about it, in one place.

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.hpp"

namespace relay {

/// Where a key's value lives.
using field_target = std::variant<std::string*, std::int64_t*, milliseconds*, bool*,
                                  std::vector<std::string>*, std::vector<milliseconds>*, secret*>;

template <class Owner>
struct basic_field {
  std::string_view section;  // "server"; "upstream" for [[upstream]]
  std::string_view key;      // "listen"
  field_target (*at)(Owner&);
  std::string_view help;  // one sentence: what it does, and what changing it costs
  std::int64_t min = 0;   // integers and durations; in a list, each
  std::int64_t max = 0;
  std::vector<std::string_view> choices;  // text that must be one of these; empty: any
};

using field = basic_field<config>;
using upstream_field = basic_field<upstream_config>;
using key_field = basic_field<upstream_key_config>;
using price_field = basic_field<price_config>;
using group_field = basic_field<group_config>;

std::span<const field> fields();
std::span<const upstream_field> upstream_fields();
/// Of [[upstream.keys]].
std::span<const key_field> key_fields();
/// Of [[price]].
std::span<const price_field> price_fields();
/// Of [[upstream.price]].
std::span<const price_field> upstream_price_fields();
/// Of [[group]].
std::span<const group_field> group_fields();

/// LUMA_RELAY_SERVER_LISTEN; for an upstream LUMA_RELAY_UPSTREAM_1_URL, and for one of its keys
/// LUMA_RELAY_UPSTREAM_1_KEYS_2_KEY, both counted from 1.
std::string env_name(std::string_view section, std::string_view key, std::size_t number = 0,
                     std::size_t number_within = 0);

/// A value as TOML; a secret as "[secret]".
std::string to_toml(const field_target& value);

}  // namespace relay
