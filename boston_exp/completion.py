"""Tab completion of `python -m boston_exp.<command>`: Hydra's own completes scripts and installed commands only."""

from __future__ import annotations

# Appended to what `-sc install=bash` prints; anything else typed after python goes to Hydra's function.
BASH = """
boston_exp_completion()
{
    local words=($COMP_LINE)
    if [ "${words[1]}" == "-m" ] && [[ "${words[2]}" == boston_exp.* ]] && [ "$COMP_CWORD" -gt 2 ]; then
        local line="${words[2]}${COMP_LINE#*"${words[2]}"}" word="${COMP_WORDS[$COMP_CWORD]}"
        local choices=$(COMP_LINE="$line" "${words[0]}" -m "${words[2]}" -sc query=bash)
        COMPREPLY=($(compgen -o nospace -o default -W "$choices" -- "$word"))
    else
        hydra_bash_completion
    fi
}
complete -o nospace -o default -F boston_exp_completion python
"""


def extend(arguments: list[str]) -> None:
    """Print our part when Hydra was asked for bash's."""
    if "install=bash" in arguments and {"-sc", "--shell-completion", "--shell_completion"} & set(arguments):
        print(BASH)
