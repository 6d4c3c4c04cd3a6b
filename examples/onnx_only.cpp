// A bundle's ONNX file in C++ with ONNX Runtime alone; the contract is docs/onnx_contract.md.
//
//   g++ -std=c++17 -O2 examples/onnx_only.cpp -I ORT/include -L ORT/lib -lonnxruntime -o onnx_only
//   ./onnx_only zoo/last_lite_nano_shrec14/model.int8.onnx clip.csv [temperature] [least energy] [least probability]
//
// clip.csv: one line a frame, V x C numbers parted by commas, joint after joint; nan where a point is missing.
// Shape and labels come from the graph; the three numbers are `thresholds` of manifest.json, where it has them.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using Frame = std::vector<float>;

std::vector<Frame> read_clip(const char* path, std::size_t width) {
  std::ifstream stream(path);
  std::vector<Frame> clip;
  for (std::string line; std::getline(stream, line);) {
    Frame frame;
    std::stringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) frame.push_back(std::strtof(cell.c_str(), nullptr));
    if (frame.size() != width) throw std::runtime_error("a frame needs " + std::to_string(width) + " numbers");
    clip.push_back(std::move(frame));
  }
  if (clip.empty()) throw std::runtime_error("no frames in the clip");
  return clip;
}

bool missing(const Frame& frame, std::size_t joint, std::size_t axes) {
  return std::any_of(frame.begin() + joint * axes, frame.begin() + (joint + 1) * axes,
                     [](float value) { return std::isnan(value); });
}

// Linear in time over the span that shows any point. Where one of the two neighbours is missing the nearer one's point
// is taken, which may be missing too.
std::vector<float> fit_window(const std::vector<Frame>& clip, std::size_t frames, std::size_t axes) {
  const std::size_t joints = clip[0].size() / axes;
  std::size_t first = 0, last = clip.size() - 1;
  auto shows = [&](const Frame& frame) {
    for (std::size_t joint = 0; joint < joints; ++joint)
      if (!missing(frame, joint, axes)) return true;
    return false;
  };
  if (std::any_of(clip.begin(), clip.end(), shows)) {
    while (!shows(clip[first])) ++first;
    while (!shows(clip[last])) --last;
  }
  std::vector<float> window;
  window.reserve(frames * clip[0].size());
  for (std::size_t row = 0; row < frames; ++row) {
    const double step = frames > 1 ? double(row) / double(frames - 1) : 0.0;
    const double position = double(first) + step * double(last - first);
    const auto before = std::size_t(std::floor(position));
    const std::size_t after = std::min(before + 1, clip.size() - 1);
    const double weight = position - double(before);
    for (std::size_t joint = 0; joint < joints; ++joint) {
      const bool torn = missing(clip[before], joint, axes) || missing(clip[after], joint, axes);
      for (std::size_t at = joint * axes; at < (joint + 1) * axes; ++at)
        window.push_back(torn ? clip[weight < 0.5 ? before : after][at]
                              : float(clip[before][at] * (1 - weight) + clip[after][at] * weight));
    }
  }
  return window;
}

// The strings of a JSON list; of escapes only \" and \\ are undone.
std::vector<std::string> read_labels(const std::string& list) {
  std::vector<std::string> labels;
  bool inside = false;
  for (std::size_t at = 0; at < list.size(); ++at) {
    const char sign = list[at];
    if (inside && sign == '\\' && at + 1 < list.size() && (list[at + 1] == '"' || list[at + 1] == '\\'))
      labels.back() += list[++at];
    else if (sign == '"') {
      inside = !inside;
      if (inside) labels.emplace_back();
    } else if (inside)
      labels.back() += sign;
  }
  return labels;
}

int run(int count, char** arguments) {
  if (count < 3) throw std::runtime_error("usage: onnx_only MODEL.onnx CLIP.csv [temperature] [energy] [accept]");
  const double temperature = count > 3 ? std::atof(arguments[3]) : 1.0;
  const double least_energy = count > 4 ? std::atof(arguments[4]) : -std::numeric_limits<double>::infinity();
  const double accept = count > 5 ? std::atof(arguments[5]) : 0.0;

  Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "onnx_only");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(environment, arguments[1], options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();  // {-1, T, V, C}
  const auto metadata = session.GetModelMetadata();
  const auto labels = read_labels(metadata.LookupCustomMetadataMapAllocated("labels", allocator).get());

  const auto frames = std::size_t(shape.at(1)), joints = std::size_t(shape.at(2)), axes = std::size_t(shape.at(3));
  auto window = fit_window(read_clip(arguments[2], joints * axes), frames, axes);
  const std::array<int64_t, 4> one{1, shape[1], shape[2], shape[3]};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto landmarks = Ort::Value::CreateTensor<float>(memory, window.data(), window.size(), one.data(), one.size());
  const char* inputs[] = {"landmarks"};
  const char* outputs[] = {"logits"};
  auto answer = session.Run(Ort::RunOptions{nullptr}, inputs, &landmarks, 1, outputs, 1);
  const float* logits = answer[0].GetTensorData<float>();

  std::vector<double> probabilities(labels.size());
  const double most = *std::max_element(logits, logits + labels.size()) / temperature;
  for (std::size_t index = 0; index < labels.size(); ++index)
    probabilities[index] = std::exp(logits[index] / temperature - most);
  const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  for (double& probability : probabilities) probability /= sum;
  std::vector<std::size_t> order(labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto one, auto other) { return probabilities[one] > probabilities[other]; });
  for (std::size_t row = 0; row < std::min<std::size_t>(3, order.size()); ++row)
    std::printf("%.4f %s\n", probabilities[order[row]], labels[order[row]].c_str());
  if (temperature * (most + std::log(sum)) < least_energy || probabilities[order[0]] < accept)
    std::puts("not sure enough to report");
  return 0;
}

int main(int count, char** arguments) {
  try {
    return run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
