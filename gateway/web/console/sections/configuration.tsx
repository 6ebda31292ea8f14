// What is set on this pod, where it comes from, and what a change of it takes.
import { useState } from "preact/hooks";
import { useRead } from "../hooks";
import type { SectionProps } from "../sections";
import { Badge, Card, Check, Empty, Head, Loading, Refused, Table, Text } from "../ui";

interface Option {
  name: string;
  value: string;
  source: string;
  restart: boolean;
}

export default function Configuration(_: SectionProps) {
  const options = useRead<{ results: Option[] }>("/_miroir/admin/configuration");
  const [typed, setTyped] = useState("");
  const [set, setSet] = useState(false);
  const rows = (options.data?.results ?? []).filter(
    (option) => (!set || option.source !== "default") && `${option.name} ${option.value}`.toLowerCase().includes(typed.toLowerCase()),
  );
  return (
    <div class="stack wide-gap">
      <Head title="Configuration" lead="Of the pod that answers. SIGHUP reads what needs no restart again." />
      <div class="row wrap filters">
        <Text label="Find an option" value={typed} set={setTyped} type="search" />
        <Check label="Only what is set" checked={set} set={setSet} />
      </div>
      <Card flush>
        <Refused error={options.error} />
        {!options.data && !options.error && <Loading what="the options" />}
        {options.data && !rows.length && <Empty title="No option matches" />}
        {rows.length > 0 && (
          <Table<Option>
            label="Options"
            rows={rows}
            of={(option) => option.name}
            columns={[
              { name: "Option", show: (option) => <span class="mono">--{option.name}</span> },
              { name: "Value", show: (option) => <span class="mono breaks">{option.value || "–"}</span> },
              { name: "From", show: (option) => <Badge tone={option.source === "default" ? "plain" : "info"}>{option.source}</Badge> },
              { name: "A change takes", show: (option) => (option.restart ? "a restart" : "SIGHUP"), minor: true },
            ]}
          />
        )}
      </Card>
    </div>
  );
}
