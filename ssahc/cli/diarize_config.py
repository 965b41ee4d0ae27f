"""Options of ``ssahc diarize``."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from ssahc.cli.audio_inputs import AudioOptions, find_model
from ssahc.cli.default_model import DefaultModel, list_model
from ssahc.cli.inputs import Inputs, ModelFiles, Source, SpeakerTables
from ssahc.cli.runner import RttmOptions
from ssahc.core.errors import UsageError
from ssahc.core.options import Options, flatten, list_options
from ssahc.core.validation import Interval, changed_fields, flag
from ssahc.io.overlap import PosteriorOptions
from ssahc.pipeline.clustering import ON_VECTORS
from ssahc.pipeline.options import LEARNING, DiarizeOptions, settle, uses_plda
from ssahc.pipeline.overlap import SecondSpeakerOptions

_POSTERIORS = {option.name for option in list_options(PosteriorOptions)}
_MODELS = {option.name for option in list_options(ModelFiles)}
_SECOND = {option.name for option in list_options(SecondSpeakerOptions)}
# Options that conflict with those of a config file, and displace them.
OVERLAP_CONFLICTS = {
    "overlap": {"segmentation", "exclusive", "cannot_link"} | _SECOND,
    "segmentation": {"overlap"} | _POSTERIORS,
    "exclusive": {"overlap"} | _POSTERIORS | _SECOND,
}

# A model that is given, and one that is to be chosen.
MODEL_CONFLICTS = {
    "default_model": _MODELS,
    "extractor": {"default_model"},
    **{name: {"default_model"} for name in _MODELS},
}

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class OverlapOptions(Options, group="Audio"):
    """Speakers who speak at the same time.

    Parameters
    ----------
    segmentation : str, optional
        Model that finds speech and, in chunks of audio, speakers who speak at the same
        time: a name (see ssahc models), a folder of ssahc train-segmentation, or the
        file of a network. Windows keep one speaker; others are added where speech
        overlaps.
    exclusive : bool
        With --segmentation, one speaker at a time.
    cannot_link : bool
        With --segmentation, resegmentation vb avoids to join windows of different local
        speakers of a chunk, and networks are trained with them as negatives.
    second : SecondSpeakerOptions
    overlap : Path, optional
        Regions where two speak at the same time, from any detector, for windows to get
        a second speaker there: an RTTM (.rttm; turns of "overlap", or those of speakers
        that overlap), a UEM (.uem), Kaldi's segments, or an archive or scp of vectors
        (.ark, .scp): the probability of overlap in each frame.
    posteriors : PosteriorOptions
    """

    segmentation: str | None = None
    exclusive: bool = False
    cannot_link: bool = True
    second: SecondSpeakerOptions = field(default_factory=SecondSpeakerOptions)
    overlap: Path | None = field(default=None, metadata={"group": "Input and output"})
    posteriors: PosteriorOptions = field(default_factory=PosteriorOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overlap is not None and (self.exclusive or self.segmentation):
            wrong = "--exclusive" if self.exclusive else "--segmentation"
            raise UsageError(
                f"--overlap says where second speakers are added; leave out {wrong}"
            )
        if self.overlap is None:
            for option in changed_fields(self.posteriors):
                raise UsageError(f"{option} is for --overlap; leave it out")
        if not self.cannot_link and self.segmentation is None:
            raise UsageError("--no-cannot-link is for --segmentation; leave it out")
        if self.exclusive and self.segmentation is None:
            raise UsageError(
                "--exclusive needs --segmentation; windows have one speaker anyway"
            )
        if self.exclusive or self.segmentation is None:
            for option in changed_fields(self.second):
                raise UsageError(
                    f"{option} is for second speakers, which need --segmentation, and "
                    "no --exclusive"
                )


@dataclass(frozen=True)
class DiarizeConfig(Options, group="Input and output"):
    """All options of ``ssahc diarize`` that affect results.

    Parameters
    ----------
    source : Source
    files : ModelFiles
    tables : SpeakerTables
    write_scores : bool
        Also write scores.ark and scores.scp, as Kaldi's agglomerative-cluster reads.
    write_speakers : bool
        Also write the speakers' mean x-vectors, speakers.ark and speakers.scp, their
        windows, spk2utt, and what ssahc link compares.
    rttm_confidence : bool
        Write how likely the speaker of each turn is right, 0 to 1, into the ninth field
        of the RTTM.
    enroll : Path, optional
        Give speakers the names of people whose speech is in this folder: a folder of
        audio files for each person, named after them; or wav.scp and utt2spk, perhaps
        with segments; or x-vectors of the same extractor, with utt2spk. Others keep
        their numbers. Who speakers are, or are most like, is written to named_speakers.
    enroll_threshold : float, optional
        Score above which a speaker gets a name, in standard deviations above scores of
        different people. Default: 3.4 for one enrolled person, 4.5 for ten.
    rttm : RttmOptions
    overlap : OverlapOptions
    method : DiarizeOptions
    """

    source: Source = field(default_factory=Source)
    files: ModelFiles = field(default_factory=ModelFiles)
    tables: SpeakerTables = field(default_factory=SpeakerTables)
    write_scores: bool = False
    write_speakers: bool = False
    rttm_confidence: bool = False
    enroll: Path | None = None
    enroll_threshold: Annotated[float | None, Interval()] = None
    rttm: RttmOptions = field(default_factory=RttmOptions)
    overlap: OverlapOptions = field(default_factory=OverlapOptions)
    method: DiarizeOptions = field(default_factory=DiarizeOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.enroll is None and self.enroll_threshold is not None:
            raise UsageError("--enroll-threshold is for --enroll; leave it out")


@dataclass(frozen=True)
class AllOptions(Options, group="Audio"):
    """Options of ``ssahc diarize`` and, if it starts from audio, ``ssahc extract``.

    Parameters
    ----------
    diarize : DiarizeConfig
    audio : AudioOptions
    default_model : {"auto", "extractor", "recordings"}
        Model for audio if none is given: the extractor's (from its folder; for
        campplus and small, one that comes with ssahc), or one learned from the
        recordings. auto: the extractor's if it has one, for campplus and small with
        fewer than 4 recordings only.
    """

    diarize: DiarizeConfig = field(default_factory=DiarizeConfig)
    audio: AudioOptions = field(default_factory=AudioOptions)
    default_model: DefaultModel = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.default_model == "auto":
            return
        given = [flag(name) for name in flatten(self.diarize.files)]
        if given:
            raise UsageError(f"{given[0]} gives a model; leave out --default-model")
        if self.audio.extractor is None:
            raise UsageError("--default-model is for audio, not for x-vectors")
        lacks = find_model(self.audio) is None
        if self.default_model == "extractor" and lacks:
            raise UsageError(
                f"--default-model extractor: {self.audio.extractor} comes without a "
                "model; leave it out, and one is learned from the recordings"
            )


def reuse_options(options: AllOptions) -> DiarizeConfig:
    """Return the options of a run on audio as those of a run on its x-vectors.

    They are those of its config.toml; the model is the one beside the x-vectors.
    """
    run = options.diarize
    folder = run.source.xvector_dir
    if options.default_model == "extractor" and folder is not None:
        run = replace(run, files=list_model(folder))
    return run


def settle_system(run: DiarizeConfig, inputs: Inputs) -> DiarizeConfig:
    """Resolve the options that depend on the inputs; warn of inputs without use."""
    has_scores = inputs.plda_scores is not None
    method = settle(run.method, inputs.model, has_scores=has_scores)
    if run.method.system is None and run.files.model_dir and method.system == "ssahc":
        _logger.info("system ssahc: %s holds no plda", run.files.model_dir)
    if has_scores and not uses_plda(method.system):
        _logger.warning("--system %s does not use --plda-scores", method.system)
    if inputs.model.metric is not None and method.system not in LEARNING:
        _logger.warning(
            "--system %s does not use the trained embedding network", method.system
        )
    _warn_of_xmeans(run, method)
    return replace(run, method=method)


def _warn_of_xmeans(run: DiarizeConfig, method: DiarizeOptions) -> None:
    """Warn where x-means decides how many speakers there are, and mostly fails."""
    tables, speakers = run.tables, method.speakers
    given = (tables.reco2num_spk, tables.reco2min_max, speakers.num_speakers)
    bounded = any(one is not None for one in (*given, speakers.max_speakers))
    by_xmeans = method.final_method() in ON_VECTORS and method.system != "cosine"
    if by_xmeans and not bounded:
        _logger.warning(
            "--final-clustering %s: x-means often finds too many speakers for --system "
            "%s, up to its default maximum; give their number or --max-speakers, or "
            "use --system cosine or --final-clustering ahc",
            method.final_method(),
            method.system,
        )
