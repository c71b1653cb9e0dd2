/*
 * scenario_language.cpp: how the lines of a scenario are read. The table is the grammar: words in capitals stand for values,
 * all others for themselves. What each does is in scenario.cpp, what it means in scenario.h.
 */
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "scenario.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

using S = Scenario;
using V = Scenario::Values;
using What = Scenario::What;
using Moment = Scenario::Moment;

struct Form {
  const char* pattern;
  Scenario::Statement statement;
};

struct ExpectForm {
  const char* pattern;
  Scenario::Expectation holds;
};

size_t Bytes(const Scenario::Value& v) { return static_cast<size_t>(v.number); }

const std::vector<Form>& Forms() {
  static const std::vector<Form> kForms = {
      {"members COUNT", [](S& s, const V& v) { s.Begin(v[0].number, nullptr); }},
      {"members COUNT without MEMBERS", [](S& s, const V& v) { s.Begin(v[0].number, &v[1]); }},
      {"run TIME", [](S& s, const V& v) { s.RunFor(v[0].number); }},
      {"note", [](S& s, const V&) { s.Note(); }},
      {"submit MEMBER NAME", [](S& s, const V& v) { s.Submit(v[0].member(), v[1].text, 20); }},
      {"submit MEMBER NAME of COUNT bytes", [](S& s, const V& v) { s.Submit(v[0].member(), v[1].text, Bytes(v[2])); }},
      {"hold KINDS from MEMBERS to MEMBERS", [](S& s, const V& v) { s.AddRule(What::kHold, v[0], v[1], v[2]); }},
      {"drop KINDS from MEMBERS to MEMBERS", [](S& s, const V& v) { s.AddRule(What::kDrop, v[0], v[1], v[2]); }},
      {"duplicate KINDS from MEMBERS to MEMBERS", [](S& s, const V& v) { s.AddRule(What::kDuplicate, v[0], v[1], v[2]); }},
      {"delay KINDS from MEMBERS to MEMBERS by TIME",
       [](S& s, const V& v) { s.AddRule(What::kDelay, v[0], v[1], v[2], v[3].number); }},
      {"release", [](S& s, const V&) { s.Release(true); }},
      {"forget", [](S& s, const V&) { s.Release(false); }},
      {"pass", [](S& s, const V&) { s.Pass(); }},
      {"replay KINDS from MEMBERS to MEMBERS", [](S& s, const V& v) { s.Replay(v[0], v[1], v[2], nullptr, nullptr, false); }},
      {"replay KINDS from MEMBERS to MEMBERS through MEMBER",
       [](S& s, const V& v) { s.Replay(v[0], v[1], v[2], &v[3], nullptr, false); }},
      {"replay KINDS from MEMBERS to MEMBERS as KINDS", [](S& s, const V& v) { s.Replay(v[0], v[1], v[2], nullptr, &v[3], false); }},
      {"replay KINDS from MEMBERS to MEMBERS twisted through MEMBER",
       [](S& s, const V& v) { s.Replay(v[0], v[1], v[2], &v[3], nullptr, true); }},
      {"cut MEMBERS from MEMBERS", [](S& s, const V& v) { s.Cut(v[0], v[1], false); }},
      {"cut one way MEMBERS from MEMBERS", [](S& s, const V& v) { s.Cut(v[0], v[1], true); }},
      {"heal", [](S& s, const V&) { s.Heal(); }},
      {"crash MEMBERS", [](S& s, const V& v) { s.Crash(v[0], true); }},
      {"crash MEMBERS losing unsynced", [](S& s, const V& v) { s.Crash(v[0], false); }},
      {"crash MEMBER when its next RECORD is written",
       [](S& s, const V& v) { s.CrashWhen(Moment::kWritten, v[0], v[1], nullptr); }},
      {"crash MEMBER when its next RECORD is durable",
       [](S& s, const V& v) { s.CrashWhen(Moment::kDurable, v[0], v[1], nullptr); }},
      {"crash MEMBER after sending KINDS to MEMBER", [](S& s, const V& v) { s.CrashWhen(Moment::kSent, v[0], v[1], &v[2]); }},
      {"start MEMBERS", [](S& s, const V& v) { s.Start(v[0]); }},
      {"pause MEMBERS", [](S& s, const V& v) { s.Pause(v[0], true); }},
      {"resume MEMBERS", [](S& s, const V& v) { s.Pause(v[0], false); }},
      {"hang disk of MEMBERS", [](S& s, const V& v) { s.HangDisk(v[0], true); }},
      {"free disk of MEMBERS", [](S& s, const V& v) { s.HangDisk(v[0], false); }},
      {"clock MEMBERS TIME", [](S& s, const V& v) { s.StepClock(v[0], v[1].number); }},
      {"snapshot MEMBER", [](S& s, const V& v) { s.Snapshot(v[0].member()); }},
      {"restore MEMBER", [](S& s, const V& v) { s.Restore(v[0].member()); }},
      {"roll back MEMBER by COUNT records", [](S& s, const V& v) { s.RollBackBy(v[0].member(), Bytes(v[1])); }},
      {"roll back MEMBER to height HEIGHT", [](S& s, const V& v) { s.RollBackTo(v[0].member(), s.HeightOf(v[1])); }},
      {"roll back MEMBER to before its last RECORD", [](S& s, const V& v) { s.RollBackBefore(v[0].member(), *v[1].kinds.begin()); }},
      {"flip row of MEMBERS", [](S& s, const V& v) { s.FlipRow(v[0], false); }},
      {"flip row of MEMBERS alike", [](S& s, const V& v) { s.FlipRow(v[0], true); }},
      {"clone MEMBER", [](S& s, const V& v) { s.Clone(v[0].member()); }},
      {"rejoin MEMBER", [](S& s, const V& v) { s.Rejoin(v[0].member()); }},
      {"cut journal of MEMBER", [](S& s, const V& v) { s.CutJournal(v[0].member(), nullptr); }},
      {"cut journal of MEMBER to begin with RECORD", [](S& s, const V& v) { s.CutJournal(v[0].member(), &v[1]); }},
      {"byzantine MEMBER", [](S& s, const V& v) { s.MakeByzantine(v[0].member(), std::nullopt); }},
      {"byzantine MEMBER LIE", [](S& s, const V& v) { s.MakeByzantine(v[0].member(), static_cast<Lie>(v[1].number)); }},
      {"ask for view COUNT as MEMBER", [](S& s, const V& v) { s.AskForView(v[1].member(), static_cast<uint64_t>(v[0].number)); }},
      {"accuse as MEMBER", [](S& s, const V& v) { s.AccuseAs(v[0].member()); }},
      {"strangers certify a block for MEMBERS", [](S& s, const V& v) { s.CertifyFalsely(v[0], kNobody); }},
      {"MEMBER alone certifies a block for MEMBERS", [](S& s, const V& v) { s.CertifyFalsely(v[1], v[0].member()); }},
      {"expect live within TIME", [](S& s, const V& v) { s.ExpectLive(nullptr, v[0].number); }},
      {"expect live within TIME of MEMBERS", [](S& s, const V& v) { s.ExpectLive(&v[1], v[0].number); }},
  };
  return kForms;
}

const std::vector<ExpectForm>& ExpectForms() {
  static const std::vector<ExpectForm> kForms = {
      {"height MEMBERS IS HEIGHT", [](S& s, const V& v) { return s.ExpectHeight(v[0], v[1], v[2]); }},
      {"view MEMBERS IS COUNT", [](S& s, const V& v) { return s.ExpectView(v[0], v[1], v[2]); }},
      {"equal", [](S& s, const V&) { return s.ExpectEqual(s.Well()); }},
      {"equal MEMBERS", [](S& s, const V& v) { return s.ExpectEqual(s.These(v[0])); }},
      {"verdict NAME WORD", [](S& s, const V& v) { return s.ExpectVerdict(v[0].text, v[1].text); }},
      {"NAME before NAME", [](S& s, const V& v) { return s.ExpectOrder(v[0].text, v[1].text); }},
      {"memory MEMBERS WORD", [](S& s, const V& v) { return s.ExpectMemory(v[0], v[1].text); }},
      {"take writes MEMBERS", [](S& s, const V& v) { return s.ExpectWrites(v[0], true); }},
      {"refuse writes MEMBERS", [](S& s, const V& v) { return s.ExpectWrites(v[0], false); }},
      {"up MEMBERS", [](S& s, const V& v) { return s.ExpectUp(v[0], true); }},
      {"down MEMBERS", [](S& s, const V& v) { return s.ExpectUp(v[0], false); }},
      {"sent KINDS by MEMBERS IS COUNT", [](S& s, const V& v) { return s.ExpectSent(v[0], v[1], v[2], v[3]); }},
      {"rejected by MEMBER IS COUNT", [](S& s, const V& v) { return s.ExpectRejected(v[0].member(), v[1], v[2]); }},
      {"evidence against MEMBERS IS COUNT", [](S& s, const V& v) { return s.ExpectEvidence(v[0], v[1], v[2]); }},
      {"diverged MEMBERS", [](S& s, const V& v) { return s.ExpectFound(v[0], "diverged"); }},
      {"no quorum at MEMBERS", [](S& s, const V& v) { return s.ExpectFound(v[0], "no quorum"); }},
      {"undiverged MEMBERS", [](S& s, const V& v) { return s.ExpectFound(v[0], "nothing"); }},
      {"agreed MEMBERS IS HEIGHT", [](S& s, const V& v) { return s.ExpectAgreed(v[0], v[1], v[2]); }},
      {"settled", [](S& s, const V&) { return s.ExpectSettled(s.Well()); }},
      {"settled MEMBERS", [](S& s, const V& v) { return s.ExpectSettled(s.These(v[0])); }},
  };
  return kForms;
}

const std::set<std::string> kKinds = {"BATCH",  "ACK",           "BATCH-REQUEST", "INCARNATION", "PROPOSAL", "PREPARE",  "COMMIT",
                                      "STATUS", "BLOCK-REQUEST", "BLOCK",         "VIEW-CHANGE", "NEW-VIEW", "QUESTION", "ANSWER",
                                      "DIGEST"};
const std::set<std::string> kRecords = {"INCARNATION", "BATCH", "PROPOSAL",    "PREPARE",  "COMMIT",
                                        "BLOCK",       "MEMORY", "VIEW-CHANGE", "NEW-VIEW"};
const std::map<std::string, Lie> kLies = {{"equivocates", Lie::kEquivocate},
                                          {"votes for all", Lie::kVoteForAll},
                                          {"proposes in the future", Lie::kWrongTime},
                                          {"proposes an old batch", Lie::kOldBatch},
                                          {"hides what it prepared", Lie::kHidePrepared},
                                          {"invents what was prepared", Lie::kInventPrepared},
                                          {"begins views with too few", Lie::kTooFewPromises},
                                          {"begins views with one twice", Lie::kPromiseTwice},
                                          {"claims that others forgot", Lie::kClaimForgotten},
                                          {"hides signatures", Lie::kHideSignatures},
                                          {"claims heights", Lie::kClaimHeight},
                                          {"serves twisted blocks", Lie::kTwistBlocks},
                                          {"serves other bodies", Lie::kOtherBodies},
                                          {"sends two batches", Lie::kTwoBatches},
                                          {"says no digests", Lie::kNoDigests},
                                          {"says other digests", Lie::kOtherDigests},
                                          {"says two digests", Lie::kTwoDigests},
                                          {"says far digests", Lie::kFarDigests},
                                          {"says digests for others", Lie::kForeignDigests}};

using Words = std::vector<std::string>;

// Blanks part words; "..." is one, with its quotes. A `#` outside of quotes ends the line.
Words Split(const std::string& line) {
  Words words;
  std::string word;
  bool quoted = false;
  for (char c : line) {
    if (c == '#' && !quoted) break;
    if (c == '"') quoted = !quoted;
    if ((c == ' ' || c == '\t') && !quoted) {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

Words SplitAt(const std::string& text, char separator) {
  Words parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool ReadNumber(const std::string& word, int64_t* out) {
  char* end = nullptr;
  *out = std::strtoll(word.c_str(), &end, 10);
  return !word.empty() && *end == 0;
}

bool ReadMembers(const std::string& word, Scenario::Value* out) {
  if ((out->is_all = word == "all")) return true;
  for (const std::string& one : SplitAt(word, ',')) {
    int64_t id = 0;
    if (one.size() < 2 || one[0] != 'm' || !ReadNumber(one.substr(1), &id) || id < 1 || id > 15) return false;
    out->members.push_back(NodeId{static_cast<uint16_t>(id)});
  }
  return !out->members.empty();
}

bool ReadNames(const std::string& word, const std::set<std::string>& known, Scenario::Value* out) {
  if (word == "all") out->kinds = known;
  for (const std::string& one : SplitAt(word, ',')) {
    if (word != "all" && !known.contains(one)) return false;
    if (word != "all") out->kinds.insert(one);
  }
  return !out->kinds.empty();
}

bool ReadHeight(const std::string& word, Scenario::Value* out) {
  out->is_relative = word[0] == 'h';
  if (word == "h") return true;
  return ReadNumber(out->is_relative ? word.substr(1) : word, &out->number);
}

bool ReadTime(const std::string& number, const std::string& unit, Scenario::Value* out) {
  static const std::map<std::string, int64_t> kUnits = {{"us", 1}, {"ms", 1'000}, {"s", 1'000'000}, {"h", 3'600'000'000}};
  auto known = kUnits.find(unit);
  if (!ReadNumber(number, &out->number) || known == kUnits.end()) return false;
  out->number *= known->second;
  return true;
}

// The words of one value; how many they are, 0: none of this kind stands there.
size_t ReadValue(const std::string& kind, const Words& words, size_t at, Scenario::Value* out) {
  const std::string& word = words[at];
  if (kind == "TIME") return at + 1 < words.size() && ReadTime(word, words[at + 1], out) ? 2 : 0;
  if (kind == "LIE") {
    std::string lie = word;
    for (size_t i = at + 1; i < words.size(); i++) lie += " " + words[i];
    auto known = kLies.find(lie);
    if (known == kLies.end()) return 0;
    out->number = static_cast<int64_t>(known->second);
    return words.size() - at;
  }
  out->text = word;
  if (kind == "COUNT") return ReadNumber(word, &out->number) && out->number >= 0;
  if (kind == "MEMBER") return ReadMembers(word, out) && !out->is_all && out->members.size() == 1;
  if (kind == "MEMBERS") return ReadMembers(word, out);
  if (kind == "KINDS") return ReadNames(word, kKinds, out);
  if (kind == "RECORD") return word != "all" && ReadNames(word, kRecords, out);
  if (kind == "HEIGHT") return ReadHeight(word, out);
  if (kind == "IS") return word == "=" || word == ">=" || word == "<=";
  if (kind == "WORD") return 1;
  if (kind != "NAME" || word.size() < 3 || word.front() != '"' || word.back() != '"') return 0;
  out->text = word.substr(1, word.size() - 2);
  return 1;
}

bool Matches(const std::string& pattern, const Words& words, Scenario::Values* values) {
  values->clear();
  size_t at = 0;
  for (const std::string& part : Split(pattern)) {
    if (at >= words.size()) return false;
    const bool is_value = part[0] >= 'A' && part[0] <= 'Z';
    size_t taken = part == words[at];
    if (is_value) taken = ReadValue(part, words, at, &values->emplace_back());
    if (taken == 0) return false;
    at += taken;
  }
  return at == words.size();
}

}  // namespace

Scenario::Scenario(const std::string& path) : path_(path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  size_t number = 0;
  for (std::string text; std::getline(file, text);) Parse(++number, text);
  if (lines_.empty()) throw std::runtime_error(path + ": nothing happens in it");
}

void Scenario::Parse(size_t number, const std::string& text) {
  Words words = Split(text);
  if (words.empty()) return;
  if (words.size() > 2 && words[0] == "fails" && words[1] == "with") {
    for (size_t i = 2; i < words.size(); i++) fails_with_.push_back(SplitAt(words[i], ',').front());
    return;
  }
  Line line{number, text.substr(0, text.find('#')), {}, {}};
  for (const Form& form : Forms()) {
    if (!Matches(form.pattern, words, &line.values)) continue;
    line.statement = form.statement;
    lines_.push_back(std::move(line));
    return;
  }
  if (words[0] != "expect" || !ParseExpectation({words.begin() + 1, words.end()}, &line))
    throw std::runtime_error(path_ + ":" + std::to_string(number) + ": not of the language: " + text);
  lines_.push_back(std::move(line));
}

// Now; `within TIME` at some moment, `for TIME` at every one.
bool Scenario::ParseExpectation(const std::vector<std::string>& all, Line* line) {
  Words words = all;
  std::string mode;
  Value time;
  if (words.size() > 3 && (words[words.size() - 3] == "within" || words[words.size() - 3] == "for")) {
    if (!ReadTime(words[words.size() - 2], words.back(), &time)) return false;
    mode = words[words.size() - 3];
    words.resize(words.size() - 3);
  }
  for (const ExpectForm& form : ExpectForms()) {
    if (!Matches(form.pattern, words, &line->values)) continue;
    line->statement = [holds = form.holds, mode, us = time.number](Scenario& s, const Values& values) {
      s.Expect([&] { return holds(s, values); }, mode == "within", us);
    };
    return true;
  }
  return false;
}

}  // namespace dadbs::sim
