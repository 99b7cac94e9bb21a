#include "common/luma/family.hpp"

#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/protocol_agents.hpp"
#include "common/luma/protocol_official.hpp"
#include "common/luma/protocol_station.hpp"

namespace relay::luma {
namespace {

constexpr const relay::action* all[] = {
    &actions::generations, &actions::video,         &actions::image,         &actions::upscale,
    &actions::audio,       &actions::image_reframe, &actions::video_reframe, &actions::video_modify};
constexpr const dialect* spoken[] = {&dialects::dream_machine, &dialects::web_app, &dialects::tasks};
constexpr const protocol* protocols[] = {&official_protocol, &station_protocol, &agents_protocol};

}  // namespace

const relay::family family = {"luma", all, spoken, protocols};

}  // namespace relay::luma
