"""MFCC of many short stretches of audio at once, for training; on any device.

They equal those of `ssahc.frontend.features`, but for the precision of float32, and
have a gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ssahc.core.errors import UsageError
from ssahc.frontend.cmvn import SlidingCmvnOptions
from ssahc.frontend.feature_options import MfccOptions
from ssahc.frontend.features import (
    ENERGY_FLOOR,
    cepstral_transform,
    frame_window,
    mel_filters,
    num_frames,
)


def batch_mfcc(options: MfccOptions, device: str) -> Callable[[Tensor], Tensor]:
    """Return what computes MFCC (B, T, D) of samples (B, S), as `mfcc` does.

    Samples are on the scale of 16-bit audio. Dither and `htk_compat` are refused.
    """
    if options.dither > 0 or options.htk_compat:
        raise UsageError("MFCC of batches have no --dither and no --htk-compat")
    window, filters, cepstra = (
        torch.from_numpy(constant).float().to(device)
        for constant in (
            frame_window(options),
            mel_filters(options),
            cepstral_transform(options),
        )
    )

    def compute(samples: Tensor) -> Tensor:
        frames = _frames(samples, options)
        if options.remove_dc_offset:
            frames = frames - frames.mean(dim=-1, keepdim=True)
        energy = _log_energy(frames) if options.raw_energy else None
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        frames = (frames - options.preemphasis_coefficient * before) * window
        spectrum = torch.fft.rfft(frames, options.fft_size)[..., : len(filters)]
        power = spectrum.real.square() + spectrum.imag.square()
        features = (power @ filters).clamp(min=ENERGY_FLOOR).log() @ cepstra
        if not options.use_energy:
            return features
        energy = _log_energy(frames) if energy is None else energy
        if options.energy_floor > 0:
            energy = energy.clamp(min=torch.tensor(options.energy_floor).log().item())
        return torch.cat([energy[..., None], features[..., 1:]], dim=-1)

    return compute


def _frames(samples: Tensor, options: MfccOptions) -> Tensor:
    """Return frames (B, T, size), reflected at the ends as those of Kaldi."""
    size, shift = options.samples_per_frame, options.samples_per_shift
    before = -options.first_sample
    count = num_frames(samples.shape[1], options)
    after = (count - 1) * shift + size - before - samples.shape[1]
    parts = [samples[:, :before].flip(1), samples]
    if after > 0:
        parts.append(samples[:, -after:].flip(1))
    return torch.cat(parts, dim=1).unfold(1, size, shift)[:, :count]


def _log_energy(frames: Tensor) -> Tensor:
    return frames.square().sum(dim=-1).clamp(min=ENERGY_FLOOR).log()


def subtract_sliding_mean(features: Tensor, options: SlidingCmvnOptions) -> Tensor:
    """Return features (B, T, D) minus the mean of a centred window, as `sliding_cmvn`.

    Where all frames are within one window, this is their mean.
    """
    count, size = features.shape[1], options.cmn_window
    if count <= size:
        return features - features.mean(dim=1, keepdim=True)
    sums = torch.nn.functional.pad(features.double().cumsum(dim=1), (0, 0, 1, 0))
    frames = torch.arange(count, device=features.device)
    starts = (frames - size // 2).clamp(0, count - size)
    means = (sums[:, starts + size] - sums[:, starts]) / size
    return features - means.float()
