"""The look of the page: one style sheet and one skeleton, nothing from elsewhere."""

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>optoscope: $tasks</title>
<style>
:root { color-scheme: light; --ink: #1b1f24; --soft: #5b6570; --line: #dfe3e8; --paper: #ffffff; --tint: #f5f7f9;
  --reproduced: #0b6b4f; --partly: #8a5a00; --not: #a81e12; --none: #5b6570; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.2rem 5rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .8rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
p.lead { color: var(--soft); margin-top: 0; }
nav a { margin-right: 1rem; white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .5rem; border-bottom: 1px solid var(--line); }
th { background: var(--tint); font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
#results + p + .scroll td { white-space: nowrap; }
details.claim { border-bottom: 1px solid var(--line); }
details.claim > summary { display: grid; grid-template-columns: 7.2rem 1fr; gap: .2rem .8rem; padding: .55rem .2rem;
  cursor: pointer; list-style: none; }
details.claim > summary::-webkit-details-marker { display: none; }
details.claim > summary:hover { background: var(--tint); }
details.claim[open] > summary { background: var(--tint); }
summary .what small { display: block; color: var(--soft); font-size: .84rem; line-height: 1.45; }
.verdict { align-self: start; justify-self: start; margin-top: .15rem; padding: .05rem .5rem; border-radius: 99px;
  border: 1px solid currentColor; font-size: .78rem; font-weight: 600; white-space: nowrap; }
.reproduced { color: var(--reproduced); } .partly { color: var(--partly); } .not { color: var(--not); }
.none { color: var(--none); }
.inside { padding: .2rem .2rem 1.2rem 8rem; font-size: .9rem; }
.inside p { margin: .5rem 0; }
.picture { width: 100%; max-width: 46rem; margin: .6rem 0; border: 1px solid var(--line); border-radius: 6px;
  background: white center / contain no-repeat; }
.counts table { width: auto; }
.counts th:not(:first-child) { text-align: right; }
$pictures
figure { margin: 1.6rem 0 2.4rem; }
figure img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px; background: white; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
figcaption b { color: var(--ink); }
code { background: var(--tint); padding: .1rem .3rem; border-radius: 4px; font-size: .85em; overflow-wrap: anywhere; }
a { color: #0b5cad; }
@media (max-width: 40rem) {
  body { padding: 1.2rem .8rem 3rem; }
  details.claim > summary { grid-template-columns: 1fr; }
  .inside { padding-left: .2rem; }
}
@media print { details.claim > .inside { display: block; } }
</style>
</head>
<body>
<h1>Learned optimizers, taken apart: $tasks</h1>
<p class="lead">Made by <code>$command</code> from $source. Every number on this page was computed by that call, on test
problems that were used neither for training nor for tuning.</p>
<nav><a href="#claims">Claims</a><a href="#results">Results</a><a href="#figures">Figures</a><a href="#how">How each
optimizer was made</a><a href="#provenance">Provenance</a></nav>
<h2 id="claims">What the paper says, and what was measured</h2>
<p>Each line is one claim of Maheswaranathan et al. (2021) in our words; it opens to its numbers, the rule by which it
was judged, its figure and the command that shows it. A rule is the same for all tasks, and leaves room between support
and contradiction: there the verdict is "partly".</p>
<div class="scroll counts">$counts</div>
$left_out
$claims
<h2 id="results">Results</h2>
<p>Meta-objective: the mean loss over a run divided by the initial loss; lower is better. Losses are heavy-tailed, so
medians stand beside means; differences are paired, with 95% bootstrap intervals.</p>
<div class="scroll">$results</div>
<h2 id="figures">Figures</h2>
$figures
<h2 id="how">How each optimizer was made</h2>
<div class="scroll">$recipes</div>
<h2 id="provenance">Provenance</h2>
<div class="scroll">$provenance</div>
</body>
</html>
""")
