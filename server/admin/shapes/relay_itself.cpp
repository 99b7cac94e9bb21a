// Upstreams, and the relay itself.

#include "server/admin/shapes.hpp"
#include "server/admin/shapes/fields.hpp"

namespace relay::shapes {
namespace {

constexpr json_field key_fields[] = {
    {.name = "key",
     .about = "One key of the upstream; \"\" is the one without a name; all of them when it is left out",
     .max = 200}};
constexpr json_field upstream_fields[] = {
    text_field("name", "Of the upstream, with its key: NAME/KEY"),
    text_field("protocol", "That it speaks"),
    text_field("url", "Where it is"),
    text_field("state",
               "ok, paused, draining, cool-down, open circuit, half open, poll_only, not configured"),
    time_field("until", "Until when it gets no jobs by itself"),
    whole_field("rank", "Those with the smallest get jobs first"),
    whole_field("weight", "Share among those of one rank"),
    whole_field("open_jobs", "That it has"),
    whole_field("submitting", "Submissions under way"),
    flag_field("waiting", "Jobs wait for it"),
    whole_field("max_concurrent", "Configured limit of jobs at once; 0: none"),
    whole_field("learned_concurrent", "The same, learned from its refusals; 0: not known"),
    whole_field("creates_per_minute", "Configured limit of submissions in a minute; 0: none"),
    whole_field("learned_per_minute", "The same, learned; 0: not known"),
    text_field("problem", "The last one; empty: none"),
    time_field("problem_at", "When"),
    whole_field("connections", "Open"),
    whole_field("connections_made", "Since the start"),
    whole_field("connections_resumed", "Of them with a resumed TLS session")};
constexpr shape upstream{"Upstream", upstream_fields};
constexpr json_field upstreams_fields[] = {
    {.name = "items", .is = k::objects, .about = "Each key of each upstream", .of = &upstream}};
constexpr json_field upstream_mode_fields[] = {
    {.name = "changed", .is = k::texts, .about = "Keys that it is about"},
    whole_field("open_jobs", "That they have"),
    text_field("mode", "What they are now")};
constexpr json_field configuration_fields[] = {text_field("toml", "What is in force, with secrets left out")};
constexpr json_field part_fields[] = {flag_field("ok", "It works"),
                                      optional_text("why", "What is wrong, when it does not")};
constexpr shape part{"Part", part_fields};
constexpr json_field parts_fields[] = {
    {.name = "relay", .is = k::object, .about = "It does not stop", .of = &part},
    {.name = "database", .is = k::object, .about = "It can be written", .of = &part},
    {.name = "disk", .is = k::object, .about = "It has space for new jobs", .of = &part},
    {.name = "upstreams", .is = k::object, .about = "One takes jobs", .of = &part},
    {.name = "queue", .is = k::object, .about = "Jobs are submitted in time", .of = &part}};
constexpr shape parts{"Parts", parts_fields};
constexpr json_field health_fields[] = {
    text_field("status", "ready, or not ready: it stops, or its database cannot be written"),
    flag_field("takes_jobs", "New ones are accepted"),
    {.name = "parts", .is = k::object, .about = "How each part is", .of = &parts}};
constexpr json_field reloaded_fields[] = {
    {.name = "changes", .is = k::texts, .about = "What is different now, a line each"}};

}  // namespace

const shape key_of_upstream{"UpstreamKey", key_fields};
const shape upstreams{"Upstreams", upstreams_fields};
const shape upstream_mode{"UpstreamMode", upstream_mode_fields};
const shape configuration{"Configuration", configuration_fields};
const shape health{"Health", health_fields};
const shape reloaded{"Reloaded", reloaded_fields};

}  // namespace relay::shapes
