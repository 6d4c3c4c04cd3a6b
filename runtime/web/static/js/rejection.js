// How sure a model may say it is, and when it should say nothing: the twin of `Rejection` in runtime/recognise/decoding.py.

export class Rejection {
  // temperature divides the logits; energy is the score below which a motion is unknown, null refuses nothing.
  constructor({ temperature, energy }) {
    Object.assign(this, { temperature, least: energy ?? -Infinity });
  }

  // Whether the logits are those of a motion that the model was taught.
  knows(logits) {
    const scaled = Array.from(logits, (logit) => logit / this.temperature);
    const most = Math.max(...scaled);
    const sum = scaled.reduce((total, value) => total + Math.exp(value - most), 0);
    return this.temperature * (most + Math.log(sum)) >= this.least;
  }

  // Probabilities that sum to 1.
  probabilities(logits) {
    return softmax(logits, this.temperature);
  }
}

export function softmax(logits, temperature = 1) {
  const most = Math.max(...logits);
  const exponents = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = exponents.reduce((total, value) => total + value, 0);
  return exponents.map((value) => value / sum);
}
